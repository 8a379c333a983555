"""A memory that is late, that fails, or that is asked twice; and the model of the settings."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from memoryscope_rag import AsyncMemoryScope, Scope, load_config
from memoryscope_rag.service.problems import Problem
from memoryscope_rag.service.proxy.local import LocalModel
from memoryscope_rag.service.proxy.memory import ProxyMemory, Recalled, Turn, Whose
from memoryscope_rag.service.proxy.requests import Asked, read_chat
from memoryscope_rag.service.proxy.tasks import Tasks
from memoryscope_rag.service.proxy.turns import SAME_S, Turns
from memoryscope_rag.service.proxy.upstream import Answered, Forward
from memoryscope_rag.service.state import StateFile
from memoryscope_rag.testing.fakes import ScriptedGenerator
from memoryscope_rag.testing.scripted_server import scripted_server
from memoryscope_rag.testing.wire import openai_chat, openai_stream
from tests.service.conftest import Start

ANN = Whose(Scope("ann"), "s")


def asked(*texts: str) -> Asked:
    return read_chat({"messages": [{"role": "user", "content": text} for text in texts]})


class Inside:
    """A memory and what the proxy makes of it, with a clock that is moved by hand."""

    def __init__(self, memory: AsyncMemoryScope, file: StateFile) -> None:
        self.memory = memory
        self.now = 1_000_000.0
        self.tasks = Tasks()
        self.proxy = ProxyMemory(memory, Turns(file, lambda: self.now), self.tasks)

    async def turn(self, ask: Asked, answer: str, *, partial: bool = False) -> Turn:
        turn = await self.proxy.find(ask, ANN, "r")
        turn.begin()
        await turn.end(answer, partial=partial)
        await self.tasks.finish(60)
        return turn

    async def recall(self, ask: Asked) -> Recalled:
        return await self.proxy.recall(
            ask, ANN, asyncio.create_task(self.proxy.find(ask, ANN, "r"))
        )

    async def log(self) -> list[str]:
        return [one.content for one in await self.memory.messages(scope="ann")]


@asynccontextmanager
async def inside(folder: Path, **proxy: Any) -> AsyncGenerator[Inside]:
    config = load_config(
        overrides={
            "store": {"path": str(folder / "memory.db")},
            "embedder": {"name": "none"},
            "retrieval": {"floor": False},
            "schedule": {"close_s": 0},
            "proxy": {"budget_ms": 60_000.0} | proxy,
        }
    )
    file = StateFile(folder / "state.db")
    try:
        async with await AsyncMemoryScope.open(config=config) as memory:
            yield Inside(memory, file)
    finally:
        file.close()


def test_a_turn_is_the_same_for_a_while_and_then_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with inside(tmp_path) as here:
            await here.turn(asked("What is new?"), "Nothing.")
            here.now += SAME_S - 1
            await here.turn(asked("What is new?"), "Still nothing.")
            assert await here.log() == ["What is new?", "Nothing."]
            here.now += SAME_S + 1
            await here.turn(asked("What is new?"), "A lot.")
            assert await here.log() == ["What is new?", "Nothing.", "What is new?", "A lot."]

    asyncio.run(main())


def test_what_broke_off_does_not_stand_in_the_way_of_the_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with inside(tmp_path) as here:
            await here.turn(asked("Hi"), "Hel", partial=True)
            await here.turn(asked("Hi"), "Hello")
            assert (await here.recall(asked("Hi"))).text == ""  # it is no memory of itself
            await here.turn(asked("Hi"), "Hello again")
            assert await here.log() == ["Hi", "Hel", "Hello"]

    asyncio.run(main())


def test_words_that_are_no_text_cost_the_record_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with inside(tmp_path) as here:
            await here.turn(asked("half \ud800"), "well")
            assert await here.log() == []
            assert (await here.recall(asked("half \ud800"))).outcome == "failed"
            await here.turn(asked("  "), "Say something.")
            assert await here.log() == ["Say something."]

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "a turn is not recorded",
        "a turn is not recorded",
        "no memories",
    ]


def test_a_late_or_failing_memory_lets_the_request_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def late() -> None:
        async with inside(tmp_path, budget_ms=0.001) as here:
            assert (await here.recall(asked("Hi"))).outcome == "late"

    async def failing() -> None:
        async with inside(tmp_path) as here:
            await here.memory._store.close()
            found = await here.recall(asked("Hi"))
            assert (found.text, found.outcome) == ("", "failed")
            await here.turn(asked("Hi"), "Hello")

    caplog.set_level(logging.WARNING)
    asyncio.run(late())
    assert [record.getMessage() for record in caplog.records] == ["no memories"]
    caplog.clear()
    asyncio.run(failing())
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["no memories", "a turn is not recorded"]
    assert "Hi" not in str([record.__dict__ for record in caplog.records])


# ---------------------------------------------------------------- the model of the settings


def ask(
    body: dict[str, Any], *replies: str | Exception, path: str = "chat/completions"
) -> Answered:
    model = LocalModel(ScriptedGenerator(replies))
    return asyncio.run(model.ask(Forward("POST", path, body=json.dumps(body).encode())))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{}]}, "tools"),
        ({"n": 2}, "n"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0"),
    ],
)
def test_what_the_model_of_the_settings_cannot_do_is_refused(
    more: dict[str, Any], named: str
) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}]} | more
    with pytest.raises(Problem) as refused:
        ask(body, "Hello")
    assert refused.value.status == 400
    assert named in refused.value.detail
    with pytest.raises(Problem):
        ask({"input": "Hi"}, path="responses")


def test_without_an_upstream_the_model_of_the_settings_answers(start: Start) -> None:
    def script(request: Any) -> Any:
        said = request.body["messages"][-1]["content"]
        if request.body.get("stream"):
            return openai_stream(["Hel", "lo"], cut="break" in said)
        return openai_chat("Hello")

    with scripted_server(script) as server:
        model = {"provider": "vllm", "model": "served", "base_url": f"{server.url}/v1"}
        service = start(
            generator=model | {"retries": 0},
            proxy={"budget_ms": 60_000.0},
            retrieval={"floor": False},
        )
        with openai.OpenAI(
            base_url=f"{service.url}/v1", api_key=service.key(), max_retries=0
        ) as client:

            def said(text: str) -> Any:
                return [
                    {"role": "developer", "content": "Be kind."},
                    {"role": "user", "content": text},
                ]

            assert [one.id for one in client.models.list()] == ["served"]
            reply = client.chat.completions.create(
                model="any", messages=said("My dog is Rex"), user="ann", max_tokens=9
            )
            assert reply.choices[0].message.content == "Hello"
            assert reply.choices[0].finish_reason == "stop"
            assert reply.usage is not None
            assert reply.usage.total_tokens == 12
            pieces = list(
                client.chat.completions.create(
                    model="any",
                    messages=said("Who is Rex? <|im_end|>"),
                    user="ann",
                    stream=True,
                    stream_options={"include_usage": True},
                )
            )
            text = [one.choices[0].delta.content or "" for one in pieces if one.choices]
            assert "".join(text) == "Hello"
            assert pieces[-1].usage is not None
            system, question = server.bodies[-1]["messages"]
            assert system["role"] == "system"
            assert system["content"].startswith("Be kind.\n\n")
            assert "My dog is Rex" in system["content"]
            assert "<|im_end|>" not in question["content"]
            with pytest.raises(openai.APIError):
                list(
                    client.chat.completions.create(
                        model="any", messages=said("break"), user="ann", stream=True
                    )
                )
            with pytest.raises(openai.BadRequestError, match="there is none"):
                client.responses.create(model="any", input="Hi", user="ann")
        with service.client() as memory:
            log = [one.content for one in memory.messages(scope="ann")]
        assert log[:3] == ["My dog is Rex", "Hello", "Who is Rex? <|im_end|>"]
