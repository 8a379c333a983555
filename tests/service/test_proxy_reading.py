"""What the proxy reads of requests and answers, and how it puts memories in: without a network."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from memoryscope_rag.schema import Scope
from memoryscope_rag.service.proxy.replies import ChatHeard, Listener, ResponsesHeard
from memoryscope_rag.service.proxy.requests import (
    chat_with,
    read_chat,
    read_responses,
    responses_with,
)
from memoryscope_rag.service.proxy.turns import digests_of, message_id, session_of
from memoryscope_rag.testing.wire import openai_stream

SYSTEM = {"role": "system", "content": "Be kind."}
HELLO = {"role": "user", "content": "Hello", "name": "Ann"}
HI = {"role": "assistant", "content": "Hi."}
ASK = {"role": "user", "content": [{"type": "text", "text": "Where"}, {"type": "image_url"}]}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
RESULT = {"role": "tool", "content": "here", "tool_call_id": "1"}


def test_the_turn_is_what_has_no_answer_yet() -> None:
    asked = read_chat({"messages": [SYSTEM, HELLO, HI, ASK]})
    assert [(one.role, one.text, one.speaker) for one in asked.said] == [
        ("user", "Hello", "Ann"),
        ("assistant", "Hi.", None),
        ("user", "Where", None),
    ]
    assert (asked.new, asked.rounds) == (2, 0)
    assert (asked.opening, asked.query) == ("Hello", "Where")


def test_calls_of_tools_belong_to_the_turn_that_asked_for_them() -> None:
    scope = Scope("ann")
    before = read_chat({"messages": [SYSTEM, HELLO, HI, ASK]})
    after = read_chat({"messages": [SYSTEM, HELLO, HI, ASK, CALL, RESULT]})
    assert digests_of(scope, "s", before) == digests_of(scope, "s", after)
    assert (after.new, after.rounds) == (2, 2)
    digest = digests_of(scope, "s", after)[-1]
    names = {message_id(digest, 1.0, "answer", asked.rounds) for asked in (before, after)}
    assert len(names) == 2


def test_turns_of_others_and_of_other_conversations_are_others() -> None:
    asked = read_chat({"messages": [HELLO]})
    scopes = [Scope("ann"), Scope("bob"), Scope("ann", "x"), Scope("ann", tenant_id="x")]
    assert len({digests_of(scope, "s", asked)[-1] for scope in scopes}) == 4
    assert len({session_of(scope, asked) for scope in scopes}) == 4
    assert digests_of(scopes[0], "s", asked) != digests_of(scopes[0], "t", asked)
    longer = read_chat({"messages": [HELLO, HI, HELLO]})
    assert len(set(digests_of(scopes[0], "s", longer))) == 3
    assert session_of(scopes[0], longer) == session_of(scopes[0], asked)


def test_memories_stand_right_before_the_turn_and_leave_the_rest_alone() -> None:
    tree = {"messages": [SYSTEM, HELLO, HI, ASK, CALL, RESULT], "seed": 3, "own": {"a": [1]}}
    given = json.dumps(tree)
    memory = {"role": "system", "content": "M"}
    written = chat_with(tree, "M", "turn")
    assert written == {**tree, "messages": [SYSTEM, HELLO, HI, memory, ASK, CALL, RESULT]}
    assert json.dumps(tree) == given
    developer = {"role": "developer", "content": "Be kind."}
    written = chat_with({"messages": [developer, HELLO]}, "M", "turn")
    assert written["messages"][1] == {"role": "developer", "content": "M"}


def test_memories_may_stand_at_the_start() -> None:
    written = chat_with({"messages": [SYSTEM, HELLO]}, "M", "start")["messages"]
    assert written == [{"role": "system", "content": "Be kind.\n\nM"}, HELLO]
    parts = {"role": "system", "content": [{"type": "text", "text": "Be kind."}]}
    written = chat_with({"messages": [parts, HELLO]}, "M", "start")["messages"]
    assert written[0]["content"][-1] == {"type": "text", "text": "M"}
    written = chat_with({"messages": [HELLO]}, "M", "start")["messages"]
    assert written == [{"role": "system", "content": "M"}, HELLO]


def test_what_an_upstream_keeps_has_no_memories_among_its_items() -> None:
    tree: dict[str, Any] = {"input": "Where?", "instructions": "Be kind."}
    assert responses_with(tree, "M", "turn") == {**tree, "instructions": "Be kind.\n\nM"}
    tree = {"input": "Where?", "store": False}
    assert responses_with(tree, "M", "turn")["input"] == [
        {"role": "system", "content": "M"},
        {"role": "user", "content": "Where?"},
    ]
    kept = read_responses({"input": "Yes", "previous_response_id": "r1"})
    other = read_responses({"input": "Yes", "conversation": {"id": "c"}})
    assert kept.kept
    assert session_of(Scope("ann"), kept) == "default"
    assert digests_of(Scope("ann"), "s", kept) != digests_of(Scope("ann"), "s", other)
    assert read_responses({"input": [{"type": "function_call_output"}]}).query == ""


def heard(data: bytes, seed: int, kind: type[ChatHeard] | type[ResponsesHeard]) -> Any:
    listener = Listener(kind(), streams=True)
    draw = random.Random(seed)
    while data:
        size = draw.randint(1, 40)
        listener.feed(data[:size])
        data = data[size:]
    listener.end()
    return listener.heard


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("seed", range(5))
def test_a_stream_is_heard_however_it_is_cut(line_end: bytes, seed: int) -> None:
    reply = openai_stream(["Grüß ", "dich, ", "世界\u2028"])
    data = b"".join(piece for piece in reply.pieces if isinstance(piece, bytes))
    said = heard(
        b": ping\n\n".replace(b"\n", line_end) + data.replace(b"\n", line_end), seed, ChatHeard
    )
    assert (said.text, said.whole) == ("Grüß dich, 世界\u2028", True)
    cut = heard(data[: len(data) // 2], seed, ChatHeard)
    assert not cut.whole


def test_of_an_answer_of_responses_the_texts_are_heard() -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]}
    whole = {"output": [{"type": "reasoning", "content": []}, message]}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"output": []}},
        {"type": "response.output_text.delta", "delta": "Hello "},
        {"type": "response.output_text.delta", "delta": "there"},
        {"type": "response.completed", "response": whole},
    ]
    data = [b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events]
    said = heard(b"".join(data), 0, ResponsesHeard)
    assert (said.text, said.whole) == ("Hello there", True)
    said = heard(b"".join(data[:2]), 0, ResponsesHeard)
    assert (said.text, said.whole) == ("Hello ", False)
    listener = Listener(ResponsesHeard(), streams=False)
    listener.feed(json.dumps(whole).encode())
    listener.end()
    assert listener.heard.text == "Hello there"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"choices": 1}', b'{"choices": [{"message": 1}]}']
)
def test_what_cannot_be_read_says_nothing(data: bytes) -> None:
    for streams in (False, True):
        for kind in (ChatHeard, ResponsesHeard):
            listener = Listener(kind(), streams=streams)
            listener.feed(b"data: " + data + b"\n\n" if streams else data)
            listener.end()
            assert listener.heard.text == ""
