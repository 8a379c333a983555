"""A thousand turns through the proxy, and what schemathesis finds in its paths."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

import openai
import pytest

from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import as_json, openai_chat, openai_stream
from tests.service.conftest import UNLIMITED, Start
from tests.service.test_schemathesis import explore

USERS = 4
TURNS = 250
"""Of each of them."""
SHOWN = 10
"""Messages before the turn that a request shows."""


def script(request: WireRequest) -> WireReply:
    if request.path != "/v1/chat/completions":
        return as_json({"object": "list", "data": []})
    said = request.body["messages"][-1].get("content")
    text = f"You said: {said}"
    stream = request.body.get("stream")
    return openai_stream([text[:9], text[9:]]) if stream else openai_chat(text)


async def talk(client: openai.AsyncOpenAI, user: str) -> list[str]:
    """All that both sides said, one reply in two streamed."""
    said: list[str] = []
    for turn in range(TURNS):
        ask = f"{user} says number {turn}"
        roles = ("user", "assistant")
        shown = said[-SHOWN:]
        messages: list[Any] = [
            {"role": roles[place % 2], "content": text} for place, text in enumerate([*shown, ask])
        ]
        headers = {"X-User-ID": user, "X-Session-ID": "long"}
        if turn % 2:
            pieces = await client.chat.completions.create(
                model="m", messages=messages, stream=True, extra_headers=headers
            )
            parts = [one.choices[0].delta.content or "" async for one in pieces if one.choices]
            reply = "".join(parts)
        else:
            whole = await client.chat.completions.create(
                model="m", messages=messages, extra_headers=headers
            )
            reply = whole.choices[0].message.content or ""
        said += [ask, reply]
    return said


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_turns_are_answered_as_without_the_proxy_and_recorded_once(start: Start) -> None:
    with scripted_server(script) as upstream:
        service = start(
            proxy={"base_url": f"{upstream.url}/v1"},
            service=UNLIMITED,
            schedule={"close_s": 0, "after_messages": 1_000_000, "after_idle_s": 1e6},
        )
        users = [f"user{number}" for number in range(USERS)]

        async def main(url: str) -> list[list[str]]:
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=service.key()) as client:
                return await asyncio.gather(*(talk(client, user) for user in users))

        through = asyncio.run(main(service.url))
        assert through == asyncio.run(main(upstream.url))
        with service.client() as client:
            for user, said in zip(users, through, strict=True):
                log = client.messages(scope=user, limit=1000)
                assert [message.content for message in log] == said
                assert [message.role for message in log] == ["user", "assistant"] * TURNS


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis")
def test_schemathesis_finds_nothing_in_front_of_an_upstream(start: Start) -> None:
    with scripted_server(script) as upstream:
        service = start(proxy={"base_url": f"{upstream.url}/v1"}, service=UNLIMITED)
        explore(service, "--include-tag", "proxy")
