"""What the proxy costs: requests to an upstream directly and through the proxy, turn about.

The upstream is scripted and answers at once, so what is left is the proxy's own: finding the turn
in the state file, recall, passing on, recording. The proxy runs in a process of its own; client
and upstream share this one. Each request asks something new of a user with a history.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from memoryscope_rag.client import Client
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.configs.model import Config
from memoryscope_rag.evaluation.speed import Metrics, percentiles
from memoryscope_rag.evaluation.synthetic import START, Texts
from memoryscope_rag.schema import NewMessage
from memoryscope_rag.service.keys import create_key
from memoryscope_rag.service.process import running
from memoryscope_rag.service.state import StateFile, state_path
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import openai_chat, openai_stream

HISTORY = 200
"""Messages of the user before the first request."""
WORDS = 40
"""Words of an answer; streamed, each is an event."""
_USER = "bench"

Say = Callable[[str], None]


def measure(
    config: Config, *, requests: int = 200, say: Say = lambda text: None
) -> dict[str, Metrics]:
    """Milliseconds of a completion and of a stream (to its first byte and to its end).

    ``overhead`` is the difference of each request through the proxy to the direct one beside it.
    The store is an SQLite file that is made and removed; the embedder is that of ``config``.
    """
    with tempfile.TemporaryDirectory(prefix="memoryscope-rag-bench-") as name:
        folder = Path(name)
        with scripted_server(_answer) as upstream, _proxy(config, folder, upstream.url) as proxy:
            say(f"{requests} requests of each kind, directly and through the proxy")
            return _compare(f"{upstream.url}/v1", *proxy, requests)


def _answer(request: WireRequest) -> WireReply:
    words = [f"word{number} " for number in range(WORDS)]
    stream = bool(request.body.get("stream"))
    return openai_stream(words) if stream else openai_chat("".join(words))


@contextmanager
def _proxy(config: Config, folder: Path, upstream: str) -> Iterator[tuple[str, str]]:
    """A proxy with a history; its URL and a key."""
    tree: dict[str, Any] = {
        "embedder": config.embedder.model_dump(mode="json", exclude_defaults=True),
        "store": {"path": str(folder / "memory.db")},
        "service": {"rate_per_s": 1e6, "burst": 1_000_000},
        "retrieval": {"floor": False},
        "proxy": {"base_url": f"{upstream}/v1", "budget_ms": 10_000.0},
        # nothing is consolidated meanwhile: what that costs is measured elsewhere
        "schedule": {"close_s": 0, "after_messages": 1_000_000, "after_idle_s": 1e6}
        | {"consolidate_every_s": 1e6},
    }
    file = StateFile(state_path(parse_config(tree)))
    try:
        _, key = create_key(file, "bench", tenants=["default"], rights=["read", "write"])
    finally:
        file.close()
    with running(tree, folder) as service:
        with Client(service.url, key=key) as client:
            client.record_many(
                [
                    NewMessage(f"m{place}", "s", "user", text, START + timedelta(minutes=place))
                    for place, text in enumerate(Texts(0).take(HISTORY))
                ],
                scope=_USER,
            )
            client.retrieve("warm", scope=_USER)
        yield f"{service.url}/v1", key


def _compare(direct: str, through: str, key: str, requests: int) -> dict[str, Metrics]:
    texts = Texts(1).take(2 * requests + 2, shortest=4, longest=10)
    times: dict[str, dict[str, list[float]]] = {"direct": {}, "proxy": {}}
    with httpx2.Client(timeout=60, headers={"Authorization": f"Bearer {key}"}) as client:
        for place, text in enumerate(texts):
            stream = bool(place % 2)
            order = [("direct", direct), ("proxy", through)]
            for system, url in reversed(order) if place % 4 > 1 else order:
                spent = _ask(client, url, text, stream=stream)
                if place > 1:  # the first of each kind opens connections
                    for name, seconds in spent.items():
                        times[system].setdefault(name, []).append(seconds)
    metrics = {
        system: {
            metric: value
            for name, seconds in measured.items()
            for metric, value in percentiles(name, "", seconds).items()
        }
        for system, measured in times.items()
    }
    metrics["overhead"] = {
        metric: value
        for name, seconds in times["proxy"].items()
        for metric, value in percentiles(
            name, "", [a - b for a, b in zip(seconds, times["direct"][name], strict=True)]
        ).items()
    }
    return {
        system: {name: round(value, 2) for name, value in values.items()}
        for system, values in metrics.items()
    }


def _ask(client: httpx2.Client, url: str, text: str, *, stream: bool) -> dict[str, float]:
    """Seconds of one request; raises where it fails."""
    body = {"model": "m", "user": _USER, "messages": [{"role": "user", "content": text}]}
    started = time.perf_counter()
    first = 0.0
    with client.stream(
        "POST",
        f"{url}/chat/completions",
        content=json.dumps(body | {"stream": stream}),
        headers={"Content-Type": "application/json", "X-Session-ID": "now"},
    ) as answer:
        answer.raise_for_status()
        for _ in answer.iter_raw():
            first = first or time.perf_counter() - started
    whole = time.perf_counter() - started
    return {"stream_first_byte": first, "stream": whole} if stream else {"completion": whole}
