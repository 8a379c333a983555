"""Typed replies: the ladder of ways to ask, what it remembers, and the one repair."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field

from memoryscope_rag.errors import MalformedReply, ModelError
from memoryscope_rag.models.dashscope import DashScopeGenerator
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.ladder import Ladder, Rung
from memoryscope_rag.models.openai import OpenAIGenerator
from memoryscope_rag.models.structured import Answer, ask
from memoryscope_rag.ports import ChatMessage, Generator, JsonSchema, Sampling, Usage
from memoryscope_rag.testing.fakes import ScriptedGenerator
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import (
    dashscope_chat,
    dashscope_error,
    openai_chat,
    openai_error,
)
from tests.models.chat import ASKED, using


class Fact(BaseModel):
    text: str
    score: float = Field(0.5, ge=0, le=1)


class Facts(BaseModel):
    facts: list[Fact]


GOOD = '{"facts": [{"text": "Ann lives in Lisbon", "score": 1}]}'
VALUE = Facts(facts=[Fact(text="Ann lives in Lisbon", score=1)])


def facts(generator: Generator) -> Answer[Facts]:
    return asyncio.run(ask(generator, ASKED, Facts, sampling=Sampling(temperature=0.0)))


# ---------------------------------------------------------------- the repair


def test_a_good_reply_takes_one_turn() -> None:
    generator = ScriptedGenerator([GOOD])
    answer = facts(generator)
    assert (answer.value, answer.reply.text) == (VALUE, GOOD)
    assert answer.usage == answer.reply.usage
    assert generator.samplings == [Sampling(temperature=0.0)]
    assert generator.history == [ASKED]
    schema = generator.schemas[0]
    assert schema is not None
    assert schema["properties"]["facts"]["items"] == {"$ref": "#/$defs/Fact"}


def test_a_bad_reply_is_sent_back_with_what_is_wrong() -> None:
    bad = '{"facts": [{"text": "Ann", "score": 7}]}'
    generator = ScriptedGenerator([bad, GOOD])
    answer = facts(generator)
    assert answer.value == VALUE
    assert answer.usage == Usage(0, len(bad) // 4) + Usage(
        sum(len(m.content) for m in ASKED) // 4, 0
    ) + Usage(sum(len(m.content) for m in generator.history[1]) // 4, len(GOOD) // 4)
    *before, said, request = generator.history[1]
    assert tuple(before) == ASKED
    assert said == ChatMessage("assistant", bad)
    assert request.role == "user"
    assert "facts.0.score" in request.content
    assert generator.schemas[0] == generator.schemas[1]


def test_a_second_bad_reply_is_the_end() -> None:
    generator = ScriptedGenerator(["", "no SECRET", GOOD])
    with pytest.raises(MalformedReply) as caught:
        facts(generator)
    assert caught.value.text == "no SECRET"
    assert "SECRET" not in str(caught.value)
    assert generator.calls == 2
    assert generator.history[1][-2].content  # servers refuse an empty turn


def test_failures_of_the_model_pass() -> None:
    with pytest.raises(ModelError, match="down"):
        facts(ScriptedGenerator([ModelError("down")]))
    with pytest.raises(ModelError, match="down"):
        facts(ScriptedGenerator(["bad", ModelError("down")]))


def test_what_was_withheld_or_cut_off() -> None:
    withheld = openai_chat(GOOD[:20], finish="content_filter")
    with (
        scripted_server([withheld]) as server,
        pytest.raises(MalformedReply, match="withheld"),
    ):
        using(at(server.url), lambda one: ask(one, ASKED, Facts))
    script = [openai_chat(GOOD[:20], finish="length"), openai_chat(GOOD)]
    with scripted_server(script) as server:
        assert using(at(server.url), lambda one: ask(one, ASKED, Facts)).value == VALUE
    assert "be shorter" in server.bodies[1]["messages"][-1]["content"]


@pytest.mark.parametrize("reply", ['{"value": ["a", "b"]}', '["a", "b"]', 'Sure: ["a", "b",]'])
def test_what_is_no_object_is_asked_for_inside_one(reply: str) -> None:
    generator = ScriptedGenerator([reply])
    answer = asyncio.run(ask(generator, ASKED, list[str]))
    assert answer.value == ["a", "b"]
    schema = generator.schemas[0]
    assert schema is not None
    assert (schema["type"], schema["required"]) == ("object", ["value"])


def test_a_thousand_broken_replies_give_a_value_or_malformed_reply() -> None:
    chance = random.Random(11)

    def broken(messages: Sequence[ChatMessage]) -> str:
        text = chance.choice((GOOD, f"```json\n{GOOD}\n```", f"<think>[</think>{GOOD}"))
        for _ in range(chance.randint(0, 3)):
            place = chance.randrange(len(text) + 1)
            text = chance.choice(
                (
                    text[:place],
                    text[place:],
                    text[:place] + chance.choice('{}[]",:0x\ud800\0') + text[place:],
                )
            )
        return text

    found = 0
    for _ in range(1000):
        with contextlib.suppress(MalformedReply):
            found += isinstance(facts(ScriptedGenerator([broken, broken])).value, Facts)
    assert 200 < found < 1000


# ---------------------------------------------------------------- the ladder


def at(url: str, *, endpoint: str = "openai", ladder: Ladder | None = None) -> OpenAIGenerator:
    return OpenAIGenerator(
        "m",
        endpoint=ENDPOINTS[endpoint],
        base_url=f"{url}/v1",
        api_key="k",
        timeout_s=10,
        ladder=ladder,
    )


def rung_of(body: Any) -> Rung:
    wanted = body.get("response_format")
    return "prompt" if wanted is None else wanted["type"]


def server_that_knows(*rungs: Rung, text: str = GOOD) -> Any:
    def answer(request: WireRequest) -> WireReply:
        if rung_of(request.body) in rungs:
            return openai_chat(text)
        return openai_error(400, "This response_format type is unavailable now")

    return answer


@pytest.mark.parametrize(
    ("endpoint", "known", "tried"),
    [
        ("openai", ["json_schema"], ["json_schema"]),
        ("openai", ["json_object"], ["json_schema", "json_object"]),
        ("vllm", ["prompt"], ["json_schema", "json_object", "prompt"]),
        ("deepseek", ["json_schema", "json_object"], ["json_object"]),
        ("dashscope-compatible", ["prompt"], ["json_object", "prompt"]),
    ],
)
def test_each_refusal_is_a_rung_down_and_happens_once(
    endpoint: str, known: list[Rung], tried: list[Rung]
) -> None:
    ladder = Ladder()

    async def thrice(generator: Generator) -> None:
        for _ in range(3):
            assert (await ask(generator, ASKED, Facts)).value == VALUE

    with scripted_server(server_that_knows(*known)) as server:
        using(at(server.url, endpoint=endpoint, ladder=ladder), thrice)
        using(at(server.url, endpoint=endpoint, ladder=ladder), thrice)  # another generator
    assert [rung_of(body) for body in server.bodies] == [*tried, *([tried[-1]] * 5)]


def test_the_schema_goes_where_the_rung_wants_it() -> None:
    schema = json.dumps(Facts.model_json_schema(), separators=(",", ":"))
    with scripted_server(server_that_knows("prompt")) as server:
        using(at(server.url), lambda one: ask(one, ASKED, Facts))
    strict, loose, words = server.bodies
    inner = strict["response_format"]["json_schema"]
    assert (inner["name"], inner["strict"]) == ("Facts", True)
    assert inner["schema"]["additionalProperties"] is False
    assert inner["schema"]["$defs"]["Fact"]["required"] == ["text", "score"]
    assert schema not in json.dumps(strict["messages"])
    for body in (loose, words):
        system, user = body["messages"]
        assert system["content"].startswith("Be brief.")
        assert system["content"].endswith(schema)
        assert "JSON" in system["content"]  # or json_object is refused
        assert user["content"] == ASKED[1].content


def test_without_a_system_message_one_is_made() -> None:
    with scripted_server(server_that_knows("json_object")) as server:
        using(at(server.url, endpoint="deepseek"), lambda one: ask(one, [ASKED[1]], Facts))
    assert [message["role"] for message in server.bodies[0]["messages"]] == ["system", "user"]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500])
def test_other_errors_move_nothing(status: int) -> None:
    ladder = Ladder()
    script = [openai_error(status, "max_tokens is too large"), openai_chat(GOOD)]

    async def twice(generator: Generator) -> None:
        with pytest.raises(ModelError):
            await ask(generator, ASKED, Facts)
        await ask(generator, ASKED, Facts)

    with scripted_server(script) as server:
        using(at(server.url, ladder=ladder), twice)
    assert [rung_of(body) for body in server.bodies] == ["json_schema", "json_schema"]


def test_a_rung_is_kept_by_server_and_model() -> None:
    ladder = Ladder()
    schema: JsonSchema = Facts.model_json_schema()
    assert ladder.refused("a", "m", schema, "json_schema", "response_format?")
    assert ladder.rung("a", "m", schema, "json_schema") == "json_object"
    assert ladder.rung("a", "m", {"type": "object"}, "json_schema") == "json_object"
    assert ladder.rung("b", "m", schema, "json_schema") == "json_schema"
    assert ladder.rung("a", "n", schema, "json_schema") == "json_schema"
    assert ladder.rung("a", "m", schema, "prompt") == "prompt"


def test_fault_with_one_schema_moves_that_schema_only() -> None:
    class Other(BaseModel):
        x: int

    def answer(request: WireRequest) -> WireReply:
        wanted = request.body.get("response_format", {}).get("json_schema", {}).get("name")
        if wanted == "Facts":
            return openai_error(400, "Invalid schema for response_format 'Facts': no.")
        return openai_chat(GOOD if "Facts" in json.dumps(request.body) else '{"x": 1}')

    async def some(generator: Generator) -> None:
        for reply_type in (Facts, Other, Facts, Other):
            await ask(generator, ASKED, reply_type)

    with scripted_server(answer) as server:
        using(at(server.url), some)
    tried = [rung_of(body) for body in server.bodies]
    assert tried == ["json_schema", "json_object", "json_schema", "json_object", "json_schema"]


def test_the_ladder_of_dashscope() -> None:
    def answer(request: WireRequest) -> WireReply:
        if "response_format" in request.body["parameters"]:
            words = "Json mode response is not supported when enable_thinking is true"
            return dashscope_error(400, "InvalidParameter", words)
        return dashscope_chat(GOOD)

    async def twice(generator: Generator) -> None:
        for _ in range(2):
            assert (await ask(generator, ASKED, Facts)).value == VALUE

    with scripted_server(answer) as server:
        using(DashScopeGenerator("q", base_url=server.url, api_key="k"), twice)
    formats = [body["parameters"].get("response_format") for body in server.bodies]
    assert formats == [{"type": "json_object"}, None, None]
    assert "JSON schema" in server.bodies[1]["input"]["messages"][0]["content"]
