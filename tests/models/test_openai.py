"""What goes over the wire to an OpenAI-compatible server, and what comes of what it sends."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from memoryscope_rag.errors import ConfigError, ModelError
from memoryscope_rag.models.endpoints import ENDPOINTS, find_endpoint
from memoryscope_rag.models.openai import OpenAIGenerator
from memoryscope_rag.ports import ChatMessage, Delta, Generator, Reply, Sampling, Usage
from memoryscope_rag.testing.scripted_server import ScriptedServer, WireReply, scripted_server
from memoryscope_rag.testing.wire import as_json, openai_chat, openai_error, openai_stream
from tests.models.chat import ASKED, openai_at, read_until_failure, replied, streamed, using

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is the SECRET key?"},
]


def test_i1_the_requested_model_is_the_one_sent() -> None:
    with scripted_server([openai_chat("under the pot", model="gpt-x-2026")]) as server:
        generator = openai_at(server.url, model="gpt-x")
        assert isinstance(generator, Generator)
        reply = replied(generator)
    assert reply == Reply("under the pot", "gpt-x-2026", Usage(7, 5), "stop", "")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.body == {"model": "gpt-x", "messages": MESSAGES}


def test_i4_parameters_pass_through() -> None:
    sampling = Sampling(temperature=0.0, top_p=0.5, max_tokens=9, stop=("\n", "END"), seed=3)
    generators = []
    with scripted_server(lambda _: openai_chat("x")) as server:
        for endpoint in ("openai", "deepseek"):
            generators.append(
                OpenAIGenerator(
                    "m",
                    endpoint=ENDPOINTS[endpoint],
                    base_url=server.url,
                    api_key="k",
                    extra_body={"enable_thinking": False},
                )
            )
            replied(generators[-1], sampling)
    first, second = server.bodies
    common = {
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["\n", "END"],
        "seed": 3,
        "enable_thinking": False,
    }
    assert first == {**common, "max_completion_tokens": 9}
    assert second == {**common, "max_tokens": 9}


def test_i1_azure_is_asked_by_deployment_and_version() -> None:
    with scripted_server([openai_chat("x")]) as server:
        generator = OpenAIGenerator(
            "our-gpt",
            endpoint=ENDPOINTS["azure"],
            base_url=server.url,
            api_key="azure-key",
            api_version="2024-10-21",
        )
        replied(generator)
    (request,) = server.requests
    assert request.path == "/openai/deployments/our-gpt/chat/completions"
    assert request.query == {"api-version": "2024-10-21"}
    assert request.headers["api-key"] == "azure-key"
    assert request.body["model"] == "our-gpt"


@pytest.mark.parametrize("name", ["ollama", "vllm"])
def test_servers_that_want_no_key(name: str) -> None:
    with scripted_server([openai_chat("x")]) as server:
        generator = OpenAIGenerator("m", endpoint=ENDPOINTS[name], base_url=f"{server.url}/v1")
        assert replied(generator).text == "x"


def test_the_environment_does_not_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://192.0.2.1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-other")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-other")
    with scripted_server([openai_chat("x")]) as server:
        replied(openai_at(server.url))
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer sk-test"
    assert not [name for name in headers if name.startswith("openai-")]


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "so", "reasoning_content": "hm"}, "so", "hm"),
        ({"content": "so", "reasoning": "hm"}, "so", "hm"),
        ({"content": "<think>\nhm</think>\n\nso"}, "so", "\nhm"),
        ({"content": "so <think>is a tag"}, "so <think>is a tag", ""),
        ({"content": "<think>without end"}, "", "without end"),
        ({"content": None, "reasoning_content": "hm"}, "", "hm"),
    ],
)
def test_reasoning_is_kept_apart(message: dict[str, Any], text: str, reasoning: str) -> None:
    content = message.pop("content")
    with scripted_server([openai_chat(content, **message)]) as server:
        reply = replied(openai_at(server.url))
    assert (reply.text, reply.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "filter"), ("tool_calls", "other")],
)
def test_how_it_ended(said: str, meant: str) -> None:
    with scripted_server([openai_chat("x", finish=said, usage=None)]) as server:
        reply = replied(openai_at(server.url))
    assert (reply.finish, reply.usage) == (meant, Usage())


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize(
    ("pieces", "text", "reasoning"),
    [
        (["Under ", "the ", "pot"], "Under the pot", ""),
        (["<thi", "nk>let me", " see</th", "ink>", "\n\n", "the", " pot"], "the pot", "let me see"),
        ([{"reasoning_content": "hm"}, {"reasoning_content": " yes"}, "pot"], "pot", "hm yes"),
        (["<", "b>bold</b>"], "<b>bold</b>", ""),
        (["<think>never closed"], "", "never closed"),
        (["<thin"], "<thin", ""),
        ([], "", ""),
    ],
)
def test_the_pieces_of_a_stream_make_the_final_text(
    pieces: list[Any], text: str, reasoning: str
) -> None:
    with scripted_server([openai_stream(pieces)]) as server:
        *deltas, last = streamed(openai_at(server.url))
    assert "".join(delta.text for delta in deltas) == text
    assert all(delta.text and delta.reply is None for delta in deltas)
    assert last == Delta("", Reply(text, "served", Usage(7, 5), "stop", reasoning))
    assert server.bodies[0]["stream"] is True
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


def test_a_server_without_usage_in_streams_is_not_asked_for_it_again() -> None:
    refusal = openai_error(400, "Unrecognized request argument supplied: stream_options")
    plain = openai_stream(["x"], usage=None)
    with scripted_server([refusal, plain, plain]) as server:

        async def twice(generator: Generator) -> list[Delta]:
            return [d for _ in range(2) async for d in generator.stream(ASKED)]

        deltas = using(openai_at(server.url), twice)
    assert [delta.text for delta in deltas] == ["x", "", "x", ""]
    assert ["stream_options" in body for body in server.bodies] == [True, False, False]


@pytest.mark.parametrize(
    "broken",
    [
        openai_stream(["Un", "der"], cut=True),
        openai_stream(["Un", "der"], finish=None),  # ends in good form, but too early
        WireReply((*openai_stream(["Un"]).pieces[:1], b"data: {nonsense\n\n")),
        WireReply((*openai_stream(["Un"]).pieces[:1], b'data: {"error": {"message": "oh"}}\n\n')),
    ],
)
def test_a_stream_that_breaks_off(broken: WireReply) -> None:
    with scripted_server([broken]) as server:
        text, error = using(openai_at(server.url), read_until_failure)
    assert text[:2] == "Un"
    assert error.retryable


def test_closing_a_stream_early_ends_the_request() -> None:
    async def first(generator: Generator) -> str:
        stream = cast("AsyncGenerator[Delta]", generator.stream(ASKED))
        delta = await anext(stream)
        await stream.aclose()
        for _ in range(100):  # the server notices when it sends on
            if server.hung_up:
                break
            await asyncio.sleep(0.05)
        return delta.text

    endless: list[Any] = ["a", *([0.05, "b"] * 100)]
    with scripted_server([openai_stream(endless)]) as server:
        assert using(openai_at(server.url), first) == "a"
        assert server.hung_up == 1


# ---------------------------------------------------------------- failures


def failing(reply: WireReply, **options: Any) -> tuple[ModelError, ScriptedServer]:
    with scripted_server([reply, reply]) as server:
        generator = OpenAIGenerator(
            "wanted",
            **{
                "endpoint": ENDPOINTS["openai"],
                "base_url": f"{server.url}/v1",
                "api_key": "sk-test",
                **options,
            },
        )
        with pytest.raises(ModelError) as caught:
            replied(generator)
    return caught.value, server


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_work_the_next_time_is_retryable(status: int) -> None:
    error, server = failing(openai_error(status))
    assert error.retryable
    assert error.retry_after is None
    assert len(server.requests) == 1  # the SDK did not try again by itself


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (400, "invalid_value", "refused"),
        (400, "content_filter", "content_filter"),
        (401, "invalid_api_key", "OPENAI_API_KEY"),
        (402, None, "credit"),
        (403, None, "may not use 'wanted'"),
        (404, "model_not_found", "no model 'wanted'"),
        (413, None, "refused"),
        (422, None, "refused"),
        (429, "insufficient_quota", "credit"),
    ],
)
def test_what_cannot_work_the_next_time_says_what_to_do(
    status: int, code: str | None, told: str
) -> None:
    error, server = failing(openai_error(status, "about SECRET", code=code))
    assert not error.retryable
    assert told in str(error)
    assert "SECRET" not in str(error)
    assert "about SECRET" in error.detail
    assert len(server.requests) == 1


def test_the_variable_that_was_named_is_the_one_told() -> None:
    error, _ = failing(openai_error(401), key_variable="OUR_KEY")
    assert "OUR_KEY" in str(error)
    error, _ = failing(openai_error(401), endpoint=ENDPOINTS["vllm"], api_key=None)
    assert "api_key" in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "3"}, 3.0),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, 0.0),
    ],
)
def test_how_long_the_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    error, _ = failing(openai_error(429, **headers))
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "reply",
    [
        WireReply((b"{nonsense",)),
        WireReply((b"<html>busy</html>",), content_type="text/html"),
        WireReply((b"",)),
        as_json([]),
        as_json({}),
        as_json({"choices": []}),
        as_json({"choices": [{}]}),
        as_json({"choices": [{"message": None, "finish_reason": "stop"}]}),
        as_json({"choices": [{"message": {"content": [1]}, "finish_reason": "stop"}]}),
        as_json({"choices": "none", "usage": 1}),
    ],
)
def test_an_answer_of_another_form_is_an_error_of_ours(reply: WireReply) -> None:
    error, _ = failing(reply)
    assert error.retryable
    assert "form" in str(error)


def test_a_refusal_counts_as_withheld() -> None:
    with scripted_server([openai_chat(None, refusal="I cannot")]) as server:
        reply = replied(openai_at(server.url))
    assert (reply.text, reply.finish) == ("I cannot", "filter")


def test_what_is_closed_says_so() -> None:
    with scripted_server([openai_chat("x")]) as server:
        generator = openai_at(server.url)
        replied(generator)
        for _ in range(2):
            with pytest.raises(ModelError, match="'wanted' is closed"):
                replied(generator)
        with pytest.raises(ModelError, match="closed"):
            streamed(generator)


def test_a_connection_that_breaks_off() -> None:
    error, _ = failing(WireReply((b'{"choices":',), cut=True))
    assert error.retryable
    assert "connection" in str(error)


def test_nobody_there() -> None:
    with pytest.raises(ModelError, match="connection") as caught:
        replied(openai_at("http://127.0.0.1:9"))
    assert caught.value.retryable


TRICKLE: list[bytes | float] = [b" ", 0.1] * 10


@pytest.mark.parametrize("slow", [WireReply((b"{}",), delay=1.0), WireReply(tuple(TRICKLE))])
def test_i5_a_reply_that_takes_too_long(slow: WireReply) -> None:
    error, _ = failing(slow, timeout_s=0.3)  # the second one never pauses for as long
    assert error.retryable
    assert "in time" in str(error)


def test_i6_a_test_cannot_reach_out() -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (it comes in an ExceptionGroup)
        replied(openai_at("http://192.0.2.1"))
    told = "".join(traceback.format_exception(caught.value))
    assert "a test wanted to connect to 192.0.2.1" in told


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_other_name_of_the_bound_is_learned_once(name: str) -> None:
    endpoint = "openai" if name == "max_completion_tokens" else "deepseek"
    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[name]
    words = f"Unsupported parameter: '{name}' is not supported. Use '{other}' instead."
    refusal = openai_error(400, words, code="unsupported_parameter")
    bound = Sampling(max_tokens=9)

    async def twice(generator: Generator) -> None:
        await generator.generate(ASKED, sampling=bound)
        await generator.generate(ASKED, sampling=bound)

    with scripted_server([refusal, openai_chat("x"), openai_chat("x")]) as server:
        using(openai_at(server.url, endpoint=endpoint), twice)
    assert [body.get(name) for body in server.bodies] == [9, None, None]
    assert [body.get(other) for body in server.bodies] == [None, 9, 9]


def test_a_server_that_knows_neither_name_is_not_asked_for_ever() -> None:
    def refuse(request: Any) -> WireReply:
        name = "max_tokens" if "max_tokens" in request.body else "max_completion_tokens"
        return openai_error(400, f"Unknown parameter: {name}")

    with scripted_server(refuse) as server:
        with pytest.raises(ModelError):
            replied(openai_at(server.url), Sampling(max_tokens=9))
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("openai", {}, "OPENAI_API_KEY"),
        ("deepseek", {"key_variable": "OURS"}, "OURS"),
        ("azure", {"api_key": "k"}, "base_url"),
        ("azure", {"api_key": "k", "base_url": "https://x"}, "api_version"),
        ("openai", {"api_key": "k", "base_url": "localhost:1"}, "http://"),
        ("openai", {"api_key": "k", "base_url": "http://[bad"}, "http://"),
        ("openai", {"api_key": "k", "base_url": "https://"}, "http://"),
        ("openai", {"api_key": "k", "base_url": "https://x:port"}, "http://"),
        ("openai", {"api_key": "SECRET\n"}, "OPENAI_API_KEY has blanks"),
        ("openai", {"api_key": "SECRÉT"}, "OPENAI_API_KEY has blanks"),
    ],
)
def test_what_is_missing_is_named(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        OpenAIGenerator("m", endpoint=find_endpoint(name), **options)
    assert "SECR" not in str(caught.value)


def test_half_a_surrogate_cannot_be_sent() -> None:
    broken = [ChatMessage("user", "half \ud800 é")]
    with scripted_server([openai_chat("x")]) as server:
        using(openai_at(server.url), lambda one: one.generate(broken))
    assert server.bodies[0]["messages"][0]["content"] == "half ? é"


def test_an_unknown_endpoint() -> None:
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        find_endpoint("opnai")


def test_n4_nothing_of_a_prompt_or_a_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = [openai_error(500, "about SECRET"), openai_chat("the SECRET pot")]
    with scripted_server(script) as server:

        async def twice(generator: Generator) -> None:
            with pytest.raises(ModelError):
                await generator.generate(ASKED)
            await generator.generate(ASKED)

        using(openai_at(server.url), twice)
    assert "SECRET" not in caplog.text
    assert "sk-test" not in caplog.text
