"""Writes that are sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from memoryscope_rag.service.idempotency import KEPT_S, UNFINISHED_S, Outcomes
from memoryscope_rag.service.problems import Problem
from memoryscope_rag.service.state import StateFile
from tests.service.conftest import Service


@pytest.fixture
def web(service: Service) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {service.key()}"}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=30) as client:
        yield client


def post(web: httpx2.Client, path: str, key: str, **body: object) -> httpx2.Response:
    return web.post(
        f"/v1/{path}", json={"user_id": "ann", **body}, headers={"Idempotency-Key": key}
    )


def test_each_write_happens_once(web: httpx2.Client) -> None:
    first = post(web, "record", "k1", content="hello")
    again = post(web, "record", "k1", content="hello")
    assert (first.json()["status"], again.json()["status"]) == ("stored", "known")
    assert first.json()["message"] == again.json()["message"]
    assert post(web, "record", "k1", content="goodbye").status_code == 409

    note = post(web, "add_note", "k1", content="tea").json()["id"]
    changed = [post(web, "update", "k2", node_id=note, content="coffee") for _ in range(2)]
    assert changed[0].json() == changed[1].json()
    assert changed[0].json()["version"] == 2
    reused = post(web, "update", "k2", node_id=note, content="cocoa")
    assert reused.json()["type"].endswith("idempotency-key-reused")

    for _ in range(2):
        assert post(web, "delete", "k3", node_id=note).status_code == 204
    assert post(web, "delete", "k4", node_id=note).status_code == 404

    asked = {"message_ids": [first.json()["message"]["id"]]}
    forgotten = [post(web, "forget", "k5", **asked) for _ in range(2)]
    assert forgotten[0].json() == forgotten[1].json()
    assert forgotten[0].json()["messages"] == 1
    assert post(web, "forget", "k6", **asked).status_code == 404


def test_the_key_of_one_caller_is_not_that_of_another(service: Service) -> None:
    for tenant in ("one", "two"):
        headers = {"Authorization": f"Bearer {service.key(tenants=(tenant,))}"}
        with httpx2.Client(base_url=service.url, headers=headers) as web:
            assert post(web, "record", "same", content="hello").json()["status"] == "stored"
            assert post(web, "forget", "same", everything=True).json()["messages"] == 1


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    made = StateFile(tmp_path / "service.db")
    yield made
    made.close()


def test_outcomes_by_the_clock(file: StateFile) -> None:
    now = 1000.0
    outcomes = Outcomes(file, clock=lambda: now)
    done = 0

    async def work() -> int:
        nonlocal done
        done += 1
        return done

    async def replay(value: Any) -> int:
        return int(value)

    async def once(name: bytes, request: bytes = b"r") -> int:
        return await outcomes.once(name, request, work, note=lambda n: n, replay=replay)

    async def main() -> None:
        nonlocal now
        assert [await once(b"a"), await once(b"a"), await once(b"b")] == [1, 1, 2]
        with pytest.raises(Problem, match="idempotency-key-reused"):
            await once(b"a", b"other")
        now += KEPT_S + 1
        assert await once(b"a") == 3

    asyncio.run(main())


def test_one_that_is_under_way_is_waited_for_and_one_that_died_is_not(file: StateFile) -> None:
    now = 1000.0
    outcomes = Outcomes(file, clock=lambda: now)

    async def replay(value: Any) -> str:
        return str(value)

    async def failing() -> str:
        raise RuntimeError

    async def main() -> None:
        nonlocal now
        gate = asyncio.Event()

        async def slow() -> str:
            await gate.wait()
            return "done"

        async def once(work: Any) -> str:
            result: str = await outcomes.once(b"a", b"r", work, note=lambda n: n, replay=replay)
            return result

        with pytest.raises(RuntimeError):
            await once(failing)  # leaves nothing behind
        first = asyncio.create_task(once(slow))
        await asyncio.sleep(0.2)
        with pytest.raises(Problem, match="under-way"):
            await once(slow)
        now += UNFINISHED_S + 1  # as if its process had died
        gate.set()
        assert await once(slow) == "done"
        assert await first == "done"

    asyncio.run(main())
