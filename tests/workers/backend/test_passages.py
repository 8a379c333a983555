"""Messages as a model reads them: every letter once, numbered, among the turns around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.schema import Message
from memoryscope_rag.workers.backend.numbered import NumberedReply
from memoryscope_rag.workers.backend.passages import (
    CONTEXT_TURNS,
    calls_of,
    dialogue,
    passages_of,
)
from tests.operations.consolidating import ANN, NOON, ZONE


def turn(seq: int, text: str, *, session: str = "s", days: int = 0) -> Message:
    at = NOON + timedelta(days=days)
    return Message(f"m{seq}", session, "user", text, at, "Ann", scope=ANN, seq=seq)


def lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        yield json.loads(line)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)


@given(st.lists(texts, max_size=5), st.integers(20, 300))
def test_every_letter_is_in_one_passage(contents: list[str], tokens: int) -> None:
    messages = [turn(seq, text) for seq, text in enumerate(contents)]
    passages = passages_of(messages, tokens)
    for message in messages:
        mine = [passage for passage in passages if passage.message is message]
        assert "".join(passage.text for passage in mine) == message.content
        assert all(estimate_tokens(passage.text) <= tokens + 2 for passage in mine)
    groups = calls_of(passages, tokens)
    assert [passage for group in groups for passage in group] == list(passages)
    for group in groups:
        sizes = [estimate_tokens(passage.text) for passage in group]
        assert len(group) == 1 or sum(sizes) <= tokens
        shown = [line for line in lines(dialogue(group, messages, ZONE)) if "n" in line]
        assert [line["n"] for line in shown] == list(range(1, len(group) + 1))
        by_number = sorted(shown, key=lambda line: line["n"])
        assert [line["text"] for line in by_number] == [passage.text for passage in group]


def test_long_messages_are_parted_at_sentence_ends() -> None:
    text = "This is one sentence of a long story. " * 200
    passages = passages_of([turn(1, text)], 300)
    assert len(passages) > 5
    assert all(passage.text.strip().endswith(".") for passage in passages)
    assert all(passage.text.startswith("This") for passage in passages)


def test_turns_around_stand_in_their_own_session_and_are_few() -> None:
    talk = [turn(n, f"one {n}", session="s1") for n in range(1, 11)]
    other = [turn(n, f"two {n}", session="s2", days=1) for n in range(11, 14)]
    group = passages_of([talk[9], other[0]], 100)
    shown = list(lines(dialogue(group, [*talk, *other], ZONE)))
    assert [line for line in shown if "session" in line] == [
        {"session": 1, "date": "2025-03-12 Wednesday"},
        {"session": 2, "date": "2025-03-13 Thursday"},
    ]
    said = [line["text"] for line in shown if "text" in line]
    assert said == [*(f"one {n}" for n in range(10 - CONTEXT_TURNS, 11)), "two 11"]
    assert [line["text"] for line in shown if "n" in line] == ["one 10", "two 11"]


def test_only_turns_that_explain_are_shortened() -> None:
    long = "x" * 5000
    (first, second) = (turn(1, long), turn(2, long))
    shown = list(lines(dialogue(passages_of([second], 10_000), [first], ZONE)))
    assert [len(line.get("text", "")) for line in shown][1] < 500
    assert shown[2]["text"] == long


def test_numbers_are_checked_on_both_sides() -> None:
    three = NumberedReply.of(3)
    three.check_each_once([3, 1, 2])
    for numbers, problem in (
        ([1, 2], "not answered: 3"),
        ([1, 2, 3, 3], "more than once: 3"),
        ([0, 1, 2, 3], "no such number: 0"),
        ([1, 2, 4], "no such number: 4"),
        ([-1], "no such number: -1"),
    ):
        with pytest.raises(ValueError, match=problem):
            three.check_each_once(numbers)
    assert NumberedReply.count == 0
    with pytest.raises(ValueError, match="and 80 more"):
        NumberedReply.of(100).check_each_once([])
