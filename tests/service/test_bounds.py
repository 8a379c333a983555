"""What clients may do wrong: each is answered or let go, and the service goes on."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from memoryscope_rag import NewMessage
from memoryscope_rag.service.limits import RateLimit
from tests.service.conftest import Service, start_in
from tests.service.test_client import MAY

HEAD_S, BODY_S = 1.0, 1.5


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {"head_s": HEAD_S, "body_s": BODY_S, "body_mb": 1, "rate_per_s": 5.0, "burst": 50}
    with ExitStack() as stack:
        yield start_in(tmp_path_factory.mktemp("bounds"), stack)(service=limits)


@pytest.fixture
def web(service: Service) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {service.key()}"}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=30) as client:
        yield client


def connect(service: Service) -> socket.socket:
    parts = urlsplit(service.url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 0), timeout=30)


def head(service: Service, length: int) -> bytes:
    return (
        f"POST /v1/record HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {service.key()}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def problem(answer: httpx2.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    tree: dict[str, object] = answer.json()
    assert tree["status"] == status
    assert tree["instance"] == f"urn:request:{answer.headers['X-Request-ID']}"
    return tree


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b"[" * 100_000, 400),
        (b'{"user_id": "ann", "content": "a", "more": 1}', 422),
        (b'{"user_id": "ann", "content": "\\ud800"}', 422),
        (b'{"user_id": "a\\u0000", "content": "a"}', 422),
        (b'{"user_id": "ann", "content": 5}', 422),
        (b'{"user_id": "ann", "content": "a", "metadata": {"x": NaN}}', 422),
        (b'{"user_id": "ann", "content": "a", "created_at": 5}', 422),
        (b'{"user_id": "ann", "content": "a", "created_at": "2026-05-03T10:00:00"}', 422),
        (b'{"user_id": "ann", "content": "a", "created_at": "0001-01-01T00:00:00+14:00"}', 422),
    ],
)
def test_broken_bodies_are_refused(web: httpx2.Client, body: bytes, status: int) -> None:
    problem(
        web.post("/v1/record", content=body, headers={"Content-Type": "application/json"}), status
    )


def test_a_body_that_says_it_is_no_json_is_refused(web: httpx2.Client) -> None:
    body = json.dumps({"user_id": "ann", "content": "a"})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = web.post("/v1/record", content=body, headers={"Content-Type": kind})
        refused = problem(answer, 415)
        assert refused["type"] == "urn:memoryscope-rag:unsupported-media-type"
        assert "Content-Type: application/json" in str(refused["detail"])


def test_a_refusal_quotes_nothing_of_the_body(web: httpx2.Client) -> None:
    answer = web.post("/v1/record", json={"user_id": "ann", "content": ["my secret"]})
    assert "secret" not in answer.text


def test_wrong_ways_are_problems(web: httpx2.Client) -> None:
    problem(web.get("/v1/record"), 405)
    problem(web.post("/v1/nothing"), 404)


def test_request_ids_come_back_unless_they_are_strange(web: httpx2.Client) -> None:
    answer = web.get("/health", headers={"X-Request-ID": "trace-1:2.3"})
    assert answer.headers["X-Request-ID"] == "trace-1:2.3"
    answer = web.get("/health", headers={"X-Request-ID": "x" * 129})
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hundred_megabytes_are_refused(
    service: Service, web: httpx2.Client, chunked: bool
) -> None:
    before = psutil.Process(service.running.process.pid).memory_info().rss

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * (1 << 20)

    size = {} if chunked else {"Content-Length": str(100 << 20)}
    answer = web.post(
        "/v1/record", content=pieces(), headers={"Content-Type": "application/json", **size}
    )
    problem(answer, 413)
    after = psutil.Process(service.running.process.pid).memory_info().rss
    assert after - before < 30 << 20
    assert web.get("/health").status_code == 200


def test_a_head_that_does_not_end_is_let_go(service: Service) -> None:
    with connect(service) as slow:
        started = time.monotonic()
        slow.sendall(b"POST /v1/record HTTP/1.1\r\nHost: local")
        assert slow.recv(100) == b""
        assert HEAD_S - 0.1 < time.monotonic() - started < HEAD_S + 5


def test_a_body_that_does_not_end_is_answered(service: Service) -> None:
    with connect(service) as slow:
        started = time.monotonic()
        slow.sendall(head(service, 100) + b'{"user_id"')
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert BODY_S - 0.1 < time.monotonic() - started < BODY_S + 5


def test_a_client_that_does_not_read_is_let_go(service: Service) -> None:
    with service.client() as client:
        for part in range(20):
            batch = [
                NewMessage(f"m{part}-{number}", "s", "user", "x" * 50_000, MAY)
                for number in range(10)
            ]
            client.record_many(batch, scope="heavy")
    body = b'{"user_id": "heavy", "limit": 1000}'
    text = head(service, len(body)).replace(b"/v1/record", b"/v1/messages")
    with connect(service) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(text + body)
        time.sleep(3 * BODY_S + 1)
        mine = deaf.getsockname()[1]
        # what it holds of the answer for this client is gone; the system's own buffer is small
        assert mine not in {
            connection.raddr.port
            for connection in psutil.Process(service.running.process.pid).net_connections()
            if connection.raddr
        }
    assert httpx2.get(f"{service.url}/health").status_code == 200


def test_a_flood_is_slowed_down_and_others_are_not(service: Service) -> None:
    noisy, calm = service.key(), service.key()

    async def main() -> list[int]:
        async with httpx2.AsyncClient(base_url=service.url, timeout=60) as web:

            async def ask(key: str) -> httpx2.Response:
                return await web.post(
                    "/v1/messages",
                    json={"user_id": "ann"},
                    headers={"Authorization": f"Bearer {key}"},
                )

            answers = await asyncio.gather(*(ask(noisy) for _ in range(500)))
            for answer in answers:
                if answer.status_code == 429:
                    problem(answer, 429)
                    assert int(answer.headers["Retry-After"]) >= 1
            assert (await ask(calm)).status_code == 200
            return [answer.status_code for answer in answers]

    statuses = asyncio.run(main())
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 50


def test_a_bucket_fills_at_its_rate() -> None:
    now = 0.0
    limit = RateLimit(2.0, 3, clock=lambda: now)
    assert [limit.take("a") for _ in range(3)] == [0, 0, 0]
    assert limit.take("a") == pytest.approx(0.5)
    assert limit.take("b") == 0
    now = 0.5
    assert limit.take("a") == 0
    assert limit.take("a") > 0
    now = 100.0
    assert [limit.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_the_log_has_ids_and_counts_alone(service: Service, web: httpx2.Client) -> None:
    asked = {"user_id": "ann-the-user", "content": "my secret words"}
    web.post("/v1/record", json=asked, headers={"X-Request-ID": "look-for-me"})
    web.post("/v1/record/ann-the-user?content=secret", json=asked)
    lines = service.running.log.read_text("utf-8")
    assert "secret" not in lines
    assert "ann-the-user" not in lines
    (line,) = [json.loads(text) for text in lines.splitlines() if "look-for-me" in text]
    assert line["route"] == "/v1/record"
    assert line["status"] == 200
    assert line["key"]
