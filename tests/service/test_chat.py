"""Chat over HTTP, with a chat model that is scripted on loopback."""

from __future__ import annotations

import asyncio
import json
import time

import httpx2
import pytest

from memoryscope_rag.client import Client
from memoryscope_rag.errors import ModelError
from memoryscope_rag.testing.scripted_server import (
    ScriptedServer,
    WireReply,
    WireRequest,
    scripted_server,
)
from memoryscope_rag.testing.wire import openai_chat, openai_error, openai_stream
from tests.service.conftest import Service, Start


def script(request: WireRequest) -> WireReply:
    said = request.body["messages"][-1]["content"]
    if "fail" in said:
        return openai_error(400, "the prompt was: secret")
    if "slowly" in said:
        return openai_stream(["one ", 0.2, "two ", 30.0, "three"])
    if request.body.get("stream"):
        return openai_stream(["Hello\u2028", "Ann"])
    return openai_chat("Hello Ann")


def started(start: Start, server: ScriptedServer) -> Service:
    model = {"provider": "vllm", "model": "served", "base_url": f"{server.url}/v1", "retries": 0}
    return start(generator=model)


def test_chat_whole_streamed_broken_off_and_failing(start: Start) -> None:
    with scripted_server(script) as server:
        service = started(start, server)
        with service.client() as client:
            client.record("I moved to Lisbon", scope="ann", session_id="before")
            reply = client.chat("Hi, who moved to Lisbon?", scope="ann", session_id="s")
            assert reply.text == "Hello Ann"
            assert len(reply.recorded) == 2
            said = [message.content for message in client.messages(scope="ann", session_id="s")]
            assert said == ["Hi, who moved to Lisbon?", "Hello Ann"]

            deltas = list(client.chat_stream("Hi", scope="ann", session_id="t"))
            assert [delta.text for delta in deltas] == ["", "Hello\u2028", "Ann", ""]
            assert deltas[-1].reply is not None
            assert deltas[-1].reply.text == "Hello\u2028Ann"

            with pytest.raises(ModelError, match="a model, or its server, failed") as failed:
                client.chat("fail", scope="ann", session_id="u")
            assert "secret" not in str(failed.value)
            with pytest.raises(ModelError):
                list(client.chat_stream("fail", scope="ann", session_id="u"))

            _leave_early(service, client)

        async def main() -> None:
            async with service.async_client() as both:
                pieces = both.chat_stream("Hi", scope="bob")
                assert "".join([delta.text async for delta in pieces]) == "Hello\u2028Ann"

        asyncio.run(main())


def _leave_early(service: Service, client: Client) -> None:
    """What was said until then is recorded."""
    with (
        httpx2.Client(timeout=10) as web,
        web.stream(
            "POST",
            f"{service.url}/v1/chat_stream",
            content=json.dumps({"user_id": "ann", "session_id": "v", "query": "slowly"}),
            headers={
                "Authorization": f"Bearer {service.key()}",
                "Content-Type": "application/json",
            },
        ) as answer,
    ):
        for line in answer.iter_lines():
            if "two" in line:
                break
    deadline = time.monotonic() + 20
    said: list[str] = []
    while len(said) < 2 and time.monotonic() < deadline:
        said = [message.content for message in client.messages(scope="ann", session_id="v")]
        time.sleep(0.1)
    assert said == ["slowly", "one two "]
