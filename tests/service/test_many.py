"""Many at once over several worker processes, and a worker that is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter

import httpx2
import psutil
import pytest

from memoryscope_rag import Scope
from memoryscope_rag.client import AsyncClient, Client, Patience
from tests.service.conftest import UNLIMITED, Service, Start

REQUESTS = int(os.environ.get("MEMORYSCOPE_TEST_SERVICE_REQUESTS", "1000"))
TENANTS = 50
STEADY = Patience(attempts=50, timeout_s=120, deadline_s=500)
CONNECTIONS = 20
"""Of each tenant's client: a thousand in all."""


def workers(service: Service) -> list[psutil.Process]:
    """Those that live; one that was killed stays a child until its parent has noticed."""
    found = []
    for child in psutil.Process(service.running.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, to psutil
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def web() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=CONNECTIONS),
        timeout=httpx2.Timeout(STEADY.timeout_s, pool=None),
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_requests_of_fifty_tenants_do_not_meet(start: Start) -> None:
    service = start(workers=4, service=UNLIMITED)
    keys = {f"t{n}": service.key(tenants=(f"t{n}",)) for n in range(TENANTS)}

    async def main() -> None:
        webs = {tenant: web() for tenant in keys}
        clients = {
            tenant: AsyncClient(service.url, key=key, patience=STEADY, http=webs[tenant])
            for tenant, key in keys.items()
        }
        lost = Counter[str]()
        # as many at once as there are requests: each records, or looks for what was recorded
        writes = REQUESTS // 2

        async def write(number: int) -> None:
            tenant = f"t{number % TENANTS}"
            done = await clients[tenant].record(
                f"{tenant} said {number}", scope="ann", message_id=f"m{number}"
            )
            lost[tenant] += done.status != "stored"
            assert done.message.scope == Scope("ann", tenant_id=tenant)

        async def read(number: int) -> None:
            tenant = f"t{number % TENANTS}"
            found = await clients[tenant].retrieve("said", scope="ann", floor=False, limit=5)
            for item in found:
                assert item.node.content.startswith(f"{tenant} said ")

        await asyncio.gather(
            *(write(number) for number in range(writes)),
            *(read(number) for number in range(REQUESTS - writes)),
        )
        assert not +lost
        for tenant, client in clients.items():
            log = await client.messages(scope="ann", limit=1000)
            mine = {f"m{n}" for n in range(writes) if f"t{n % TENANTS}" == tenant}
            assert {message.id for message in log} == mine
            assert len(log) == len(mine)
            assert all(message.content.startswith(f"{tenant} said ") for message in log)
            await webs[tenant].aclose()

    asyncio.run(main())
    with Client(service.url, key=service.root) as root:
        assert root.stats().messages == REQUESTS // 2


@pytest.mark.slow
def test_a_killed_worker_loses_no_acknowledged_write(start: Start) -> None:
    service = start(workers=2, service=UNLIMITED)
    first = {process.pid for process in workers(service)}
    assert len(first) == 2
    acknowledged: list[str] = []

    async def main() -> None:
        async with AsyncClient(service.url, key=service.key(), patience=STEADY) as client:
            stop = asyncio.Event()

            async def write(who: int) -> None:
                number = 0
                while not stop.is_set():
                    name = f"m{who}-{number}"
                    await client.record("some words", scope=f"user{who}", message_id=name)
                    acknowledged.append(name)
                    number += 1

            tasks = [asyncio.create_task(write(who)) for who in range(8)]
            for _ in range(2):
                already = len(acknowledged)
                while len(acknowledged) < already + 40:
                    await asyncio.sleep(0.01)
                os.kill(workers(service)[0].pid, signal.SIGKILL)
            already = len(acknowledged)
            while len(acknowledged) < already + 40:
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*tasks)
            held = [
                message.id
                for who in range(8)
                for message in await client.messages(scope=f"user{who}", limit=1000)
            ]
            assert len(held) == len(set(held))
            assert set(acknowledged) <= set(held)

    asyncio.run(main())
    deadline = time.monotonic() + 60
    while len(workers(service)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(workers(service)) == 2
    assert {process.pid for process in workers(service)} != first


def test_what_was_recorded_is_consolidated_when_it_stops(start: Start) -> None:
    service = start(schedule={"close_s": 30})
    with service.client() as client:
        client.record("I live in Lisbon and work as a vet.", scope="ann")
    service.running.process.terminate()
    service.running.process.wait(60)
    again = start(store={"path": str(service.folder / "memory.db")})
    with Client(again.url, key=again.root) as root:
        assert root.stats().pending == 0
        assert root.stats().messages == 1
