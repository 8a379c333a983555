"""A value of the type, or MalformedReply, whatever a model writes."""

from __future__ import annotations

import contextlib
import json
import random
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from memoryscope_rag.errors import MalformedReply
from memoryscope_rag.replies import ReasoningSplitter, json_values, parse_reply, split_reasoning


class Fact(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    score: float = Field(0.5, ge=0, le=1)


class Facts(BaseModel):
    model_config = ConfigDict(extra="forbid")
    facts: list[Fact] = []


GOOD = '{"facts": [{"text": "Ann lives in [Lisbon], {now}", "score": 1.0}]}'
VALUE = Facts(facts=[Fact(text="Ann lives in [Lisbon], {now}", score=1.0)])


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n\n  {GOOD}\n",
        f"\ufeff{GOOD}",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Sure! Here it is:\n```json\n{GOOD}\n```\nAnything else?",
        f"Sure! {GOOD} Anything else? :-]",
        f"<think>maybe {{}} or [1]</think>\n{GOOD}",
        f'the prompt opened it {{"facts": 1}}</think>{GOOD}',
        f"I use [brackets] and {{braces}} freely: {GOOD}",
        f"[1] as the source says: {GOOD} [2]",
        GOOD.replace("}]}", "},]}"),
        GOOD.replace("1.0}]}", "1.0 ,\n}\n,\n]\n,}"),
        f"It is {GOOD.replace('}]}', '},],}')} as asked",
        f'{{"facts": "first try"}} no, rather {GOOD}',
        f'```json\n{{"facts": 1}}\n```\nor\n```json\n{GOOD}\n```',
    ],
)
def test_the_value_is_found(text: str) -> None:
    assert parse_reply(text, Facts) == VALUE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("I cannot do that.", "no JSON value"),
        (GOOD[:-5], "line 1, column"),
        ('{"facts": [{"text": "a"}, {"text": "b"', "line 1"),  # its items are no answer
        ("{'facts': []}", "double quotes"),
        ('{"facts": [{"text": "a", "score": 2}]}', "facts.0.score"),
        ('{"facts": [{"text": "a", "score": NaN}]}', "cannot be read"),
        ('{"facts": [{"txt": "a"}]}', "facts.0.text"),
        ('["a"]', "the value"),
        ("null", "the value"),
        ("[" * 100_000, "JSON"),
        ('{"a":' * 100_000, "JSON"),
        ("[" * 5_000 + "]" * 5_000, "JSON|value"),
        ('{"facts": [{"text": "a", "score": ' + "9" * 5000 + "}]}", "JSON|score"),
        ('"' * 100_000 + "{", "JSON"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        parse_reply(text, Facts)
    assert re.search(told, caught.value.problem)
    assert caught.value.text == text


def test_the_message_quotes_nothing_but_the_problem_may() -> None:
    text = '{"facts": [{"text": "a", "score": "SECRET"}], "SECRET": 1}'
    with pytest.raises(MalformedReply, match=r"no Facts: 2 errors \(extra_forbidden") as caught:
        parse_reply(text, Facts)
    assert "SECRET" not in str(caught.value)
    assert "- SECRET: Extra inputs" in caught.value.problem


def test_many_errors_are_told_in_part() -> None:
    with pytest.raises(MalformedReply) as caught:
        parse_reply(json.dumps({"facts": [{}] * 40}), Facts)
    assert caught.value.problem.endswith("- and 30 more")


def test_any_type_that_pydantic_knows() -> None:
    @dataclass
    class Pair:
        left: int
        right: list[str]

    assert parse_reply('x {"left": 1, "right": ["a"]}', Pair) == Pair(1, ["a"])
    assert parse_reply("[1, 2,]", list[int]) == [1, 2]
    assert parse_reply('"no"', str) == "no"
    assert parse_reply('{"text": "he typed </think>"}', Fact).text == "he typed </think>"


def test_a_thousand_broken_replies_give_a_value_or_malformed_reply() -> None:
    chance = random.Random(7)
    wrappers = ["{}", "```json\n{}\n```", "Sure: {} done", "<think>x [1] {{y</think>{}"]
    parsed = 0
    for _ in range(1000):
        text = chance.choice(wrappers).replace("{{", "\0").replace("{}", GOOD).replace("\0", "{")
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(text) + 1)
            noise = chance.choice('{}[]",:\\`<>ax0 \n\ud800é钥\0') * chance.choice((1, 1, 1, 3))
            text = {
                "cut": text[:at],
                "drop": text[: max(0, at - 1)] + text[at:],
                "add": text[:at] + noise + text[at:],
                "swap": text[:at][::-1] + text[at:],
                "twice": text[:at] + text,
            }[chance.choice(("cut", "drop", "add", "add", "swap", "twice"))]
        with contextlib.suppress(MalformedReply):
            parsed += isinstance(parse_reply(text, Facts), Facts)
    assert 100 < parsed < 900


@given(st.text(alphabet='{}[]",:ab1 \\\n`<>/think', max_size=60))
def test_nothing_else_escapes(text: str) -> None:
    with contextlib.suppress(MalformedReply):
        assert isinstance(parse_reply(text, Facts), Facts)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_like, st.sampled_from(["{}", "```\n{}\n```", "<think>a</think>{}"]))
def test_a_value_is_found_as_it_was_written(value: Any, wrapper: str) -> None:
    text = json.dumps(value)
    if "```" not in text and "think>" not in text:
        assert next(json_values(wrapper.replace("{}", text))) == value


@given(st.text(alphabet="<think>/ab \n", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_reasoning_is_parted_alike_in_any_pieces(text: str, cuts: list[int]) -> None:
    for head in ("", "<think>", " <think>a</think>\n", "<thinking>b</thinking>"):
        places = sorted({0, len(head + text), *cuts})
        splitter = ReasoningSplitter()
        said, thought = "", ""
        for start, end in pairwise(places):
            one, two = splitter.feed((head + text)[start:end])
            said, thought = said + one, thought + two
        one, two = splitter.finish()
        assert (said + one, thought + two) == split_reasoning(head + text)
