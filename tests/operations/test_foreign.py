"""Readers of other programs' exports: what they take, leave out and complain of."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoryscope_rag import MemoryNode, NewMessage
from memoryscope_rag.formats import Problem
from memoryscope_rag.operations.foreign import READERS, Program, program_of, stream
from memoryscope_rag.operations.foreign.found import Fact, Found, LeftOut
from memoryscope_rag.operations.foreign.langgraph import namespace_of
from tests.operations.exports import (
    chatgpt,
    chatgpt_message,
    chatgpt_node,
    claude,
    claude_message,
    item,
    mem0_memory,
)


def sorted_out(
    found: Iterable[Found],
) -> tuple[list[NewMessage | MemoryNode], Counter[str], list[str]]:
    taken: list[NewMessage | MemoryNode] = []
    left_out, problems = Counter[str](), []
    for one in found:
        if isinstance(one, Problem):
            problems.append(one.reason)
        elif isinstance(one, LeftOut):
            left_out[one.what] += one.count
        else:
            taken.append(one.node if isinstance(one, Fact) else one)
    return taken, left_out, problems


def read(
    program: Program, value: Any
) -> tuple[list[NewMessage | MemoryNode], Counter[str], list[str]]:
    return sorted_out(READERS[program](value))


# ---------------------------------------------------------------- ChatGPT


def test_chatgpt_the_branch_that_was_shown_is_read() -> None:
    taken, left_out, problems = read("chatgpt", chatgpt())
    assert problems == []
    moment = datetime(2024, 5, 1, 8, 0, 0, 500_000, tzinfo=UTC)
    said = {"origin": "chatgpt", "title": "A new home"}
    assert taken == [
        NewMessage("chatgpt-q2", "talk-1", "user", "I moved to Lisbon", moment, metadata=said),
        NewMessage(
            "chatgpt-a2",
            "talk-1",
            "assistant",
            "How nice",
            moment,  # it has none; that of the message before it
            metadata={**said, "model": "gpt-4o"},
        ),
    ]
    assert left_out == {
        "messages of other branches": 2,
        "hidden messages": 1,
        "calls of tools": 1,
        "outputs of tools": 1,
        "contents of type 'thoughts'": 1,
        "pictures, sounds and files in messages": 1,
    }


def test_chatgpt_without_a_current_node_the_last_children_are_followed() -> None:
    whole = chatgpt()
    del whole["current_node"]
    taken, _, _ = read("chatgpt", whole)
    assert [one.id for one in taken] == ["chatgpt-q2", "chatgpt-a2"]


def test_chatgpt_a_tree_that_bites_its_tail_ends() -> None:
    message = chatgpt_message("m", "user", "hi")
    loop = {"a": chatgpt_node("a", "b", "b", message=message), "b": chatgpt_node("b", "a", "a")}
    whole = {**chatgpt(), "mapping": loop, "current_node": "a"}
    assert len(read("chatgpt", whole)[0]) == 1
    root = {"a": chatgpt_node("a", None, "a", message=message)}
    assert len(read("chatgpt", {**whole, "mapping": root, "current_node": None})[0]) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conversation_id": None}, "conversation ?: id: is missing"),
        ({"mapping": []}, "conversation talk-1: mapping: is missing or no object"),
        ({"current_node": "x"}, "conversation talk-1: current_node: is no node"),
        ({"create_time": "soon"}, "conversation talk-1: create_time: 'soon' is neither"),
    ],
)
def test_chatgpt_what_cannot_be_read_is_named(changes: dict[str, Any], words: str) -> None:
    taken, _, (problem,) = read("chatgpt", {**chatgpt(), **changes})
    assert taken == []
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"author": {"role": "critic"}}, "author.role: 'critic' is unknown; known: system, user"),
        ({"content": None}, "content: is missing or no object"),
        ({"create_time": [1]}, "create_time: [1] is neither"),
        ({"content": {"content_type": "text", "parts": ["\ud800"]}}, "content: holds a lone"),
    ],
)
def test_chatgpt_a_bad_message_costs_only_itself(changes: dict[str, Any], words: str) -> None:
    whole = chatgpt()
    whole["mapping"]["q2"]["message"].update(changes)
    taken, _, (problem,) = read("chatgpt", whole)
    assert [one.id for one in taken] == ["chatgpt-a2"]
    assert problem.startswith(f"conversation talk-1, message 'q2': {words}")


# ---------------------------------------------------------------- Claude


def test_claude_the_branch_that_was_shown_is_read() -> None:
    taken, left_out, problems = read("claude", claude())
    assert problems == []
    moment = datetime(2026, 5, 1, 8, 0, 0, 123_456, tzinfo=UTC)
    said = {"origin": "claude", "title": "Music"}
    assert taken == [
        NewMessage("claude-c3", "talk-2", "user", "I play the cello", moment, metadata=said),
        NewMessage(
            "claude-c4",
            "talk-2",
            "assistant",
            "The cello?\nHow nice",
            moment,
            metadata={**said, "model": "claude-sonnet"},
        ),
    ]
    assert left_out == {
        "messages of other branches": 2,
        "contents of type 'thinking'": 1,
        "contents of type 'tool_use'": 1,
    }


def test_claude_older_exports_are_a_list_and_have_text_alone() -> None:
    whole = claude()
    whole["current_leaf_message_uuid"] = None
    whole["chat_messages"] = [
        {"uuid": "c1", "sender": "human", "text": "hi"},
        claude_message("c2", "assistant", " ", files=[{"file_name": "x"}, {}]),
    ]
    taken, left_out, problems = read("claude", whole)
    assert problems == []
    assert [(one.id, one.content) for one in taken] == [("claude-c1", "hi")]
    assert left_out == {"messages without text": 1, "files": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sender": "tool"}, "sender: 'tool' is unknown; known: human, assistant"),
        ({"created_at": "soon"}, "created_at: 'soon' is neither"),
        ({"uuid": None}, "uuid: is missing or no string"),
    ],
)
def test_claude_a_bad_message_costs_only_itself(changes: dict[str, Any], words: str) -> None:
    whole = {**claude(), "current_leaf_message_uuid": None}
    whole["chat_messages"][0] |= changes
    taken, _, (problem,) = read("claude", whole)
    assert len(taken) == 3
    assert problem.startswith(f"conversation talk-2, message 1: {words}")


# ---------------------------------------------------------------- mem0 and LangGraph


def test_mem0_memories_become_notes() -> None:
    page = {
        "results": [
            mem0_memory("1", "Ann moved to Lisbon on 3 March 2026", run_id="r", categories=["x"]),
            mem0_memory(
                "2", "Ann likes tea", updated_at="2026-05-02", expiration_date="2027-01-01"
            ),
            {"id": "3", "memory": "no time"},
            {"memory": ""},
        ],
        "relations": [{"source": "ann"}],
    }
    (first, second), left_out, problems = read("mem0", page)
    assert isinstance(first, MemoryNode)
    assert isinstance(second, MemoryNode)
    assert first.id == "mem0-1"
    assert first.kind == "note"
    assert first.content == "Ann moved to Lisbon on 3 March 2026"
    assert first.said_at == first.valid_from == datetime(2026, 5, 1, 15, tzinfo=UTC)
    assert first.event is not None
    assert first.event.interval.start == datetime(2026, 3, 3, 7, tzinfo=UTC)
    assert first.metadata == {
        "topic": "home",
        "tags": '["a", "b"]',
        "run_id": "r",
        "categories": '["x"]',
        "origin": "mem0",
    }
    assert second.valid_from == datetime(2026, 5, 2, tzinfo=UTC)
    assert second.valid_to == datetime(2027, 1, 1, tzinfo=UTC)
    assert left_out == {"relations of the graph": 1}
    assert problems == [
        "memory 3: created_at: is missing",
        "memory 4: memory: is missing or no string",
    ]


@pytest.mark.parametrize(
    ("value", "content", "kept"),
    [
        ({"text": "tea", "kind": "like"}, "tea", {"kind": "like"}),
        (
            {"kind": "Memory", "content": {"content": "tea", "n": 1}},
            "tea",
            {"kind": "Memory", "n": 1},
        ),
        ({"color": "red", "list": [1]}, '{"color": "red", "list": [1]}', {}),
    ],
)
def test_langgraph_items_become_notes(
    value: dict[str, Any], content: str, kept: dict[str, Any]
) -> None:
    (node,), _, problems = read("langgraph", {"items": [item(["memories", "ann"], "k", value)]})
    assert problems == []
    assert isinstance(node, MemoryNode)
    assert node.content == content
    assert namespace_of(node.metadata) == ("memories", "ann")
    own = {"origin": "langgraph", "namespace": '["memories", "ann"]', "key": "k"}
    assert node.metadata == {**kept, **own}
    assert node.said_at == datetime(2026, 5, 1, 8, tzinfo=UTC)
    assert node.valid_from == datetime(2026, 5, 2, 8, tzinfo=UTC)
    (other,), _, _ = read("langgraph", item(["memories"], "ann", value))
    assert other.id != node.id


def test_langgraph_what_cannot_be_read_is_named() -> None:
    bad = [{**item(["a"], "k", {}), **change} for change in ({"namespace": "a"}, {"value": 1})]
    assert read("langgraph", {"items": bad})[2] == [
        "item 1: namespace: is missing or no list of strings",
        "item 2: value: is missing or no object",
    ]


# ---------------------------------------------------------------- any of them


@pytest.mark.parametrize(
    ("value", "program"),
    [
        (chatgpt(), "chatgpt"),
        (claude(), "claude"),
        ({"results": [mem0_memory("1", "x")]}, "mem0"),
        (mem0_memory("1", "x"), "mem0"),
        ({"items": [item(["a"], "k", {})]}, "langgraph"),
        (item(["a"], "k", {}), "langgraph"),
        ({"role": "user", "content": "hi"}, None),
        ({"results": []}, None),
        (1, None),
    ],
)
def test_the_program_is_told_by_the_first_value(value: Any, program: str | None) -> None:
    assert program_of(value) == program


FIELDS = [
    *("id", "uuid", "mapping", "message", "author", "role", "content", "parts", "parent", "text"),
    *("chat_messages", "sender", "results", "items", "memory", "namespace", "key", "value"),
    *("created_at", "create_time", "current_node", "children", "type"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
# making the values takes longer than reading them, on a busy machine too long for hypothesis
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(value=JSON)
def test_no_reader_breaks_on_any_json(value: Any) -> None:
    program_of(value)
    for reader in READERS.values():
        for found in reader(value):
            assert isinstance(found, NewMessage | Fact | LeftOut | Problem)


# ---------------------------------------------------------------- the stream


class Trickle(io.BytesIO):
    """Gives a few bytes at a time, whatever is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(3)


CONTAINERS = JSON.filter(lambda value: isinstance(value, dict | list))


@patient
@given(elements=st.lists(CONTAINERS, max_size=4), indent=st.sampled_from([None, 1]))
def test_values_are_read_as_json_reads_them(elements: list[Any], indent: int | None) -> None:
    texts = [json.dumps(elements, indent=indent)]
    if elements and not isinstance(elements[0], list):  # that would be the list of all
        texts.append("\n".join(json.dumps(element, indent=indent) for element in elements))
    for text in texts:
        found = [value for _, value in stream.values(Trickle(b"\xef\xbb\xbf" + text.encode()))]
        assert json.dumps(found) == json.dumps(elements)


def test_values_know_their_lines_and_name_what_is_broken() -> None:
    text = b'{"a": 1}\n\n{"b":\n 2}\n{broken\n{"c": "caf\xe9"}\n'
    found = list(stream.values(Trickle(text)))
    assert [line for line, _ in found] == [1, 3, 5, 6]
    assert isinstance(found[2][1], Problem)
    assert found[3][1] == {"c": "caf\udce9"}
    _, cut = stream.values(io.BytesIO(b'[{"a": 1},\n {"b"'))
    assert cut[0] == 2
    assert "the rest of the list is not read" in cut[1].reason
    _, open_end = stream.values(io.BytesIO(b'[{"a": 1}'))
    assert open_end[1] == Problem("the list has no end")
    (deep,) = stream.values(io.BytesIO(b"[" + b'{"a":' * 100_000))
    assert isinstance(deep[1], Problem)
