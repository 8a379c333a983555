"""Statements as they are taken from turns: verbatim, joined to what explains them, or resolved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.schema import utc_now
from memoryscope_rag.statements import Turn, appraise, read, relation, sentences, slots_of
from memoryscope_rag.statements.relation import Said

CASES = [
    ("Yeah, I work at Alibaba.", ["I work at Alibaba."]),
    ("Well, I bought an iPhone 15 yesterday, what about you?", ["I bought an iPhone 15 yesterday"]),
    ("嗯，我在北京上班。", ["我在北京上班。"]),
    ("Hi! How are you? I moved to Rome in May. Bye!", ["I moved to Rome in May."]),
    (
        "I saw a play on Sunday. It was in my uncle's old theatre.",
        ["I saw a play on Sunday. It was in my uncle's old theatre."],
    ),
    (
        "My sister Ann called. I have a cold. Can you recommend a tea?",
        ["My sister Ann called.", "I have a cold."],
    ),
    ("I live in Leeds [shows a photo of a house]", ["I live in Leeds"]),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_taken_verbatim(text: str, wanted: list[str]) -> None:
    (result,) = read([Turn(text, "u")])
    assert [statement.text for statement in result.statements] == wanted
    for statement in result.statements:
        assert statement.text == text[statement.start : statement.end]


RESOLVED = [
    (["I talked to my sister Ann.", "She moved to Rome."], "Ann moved to Rome."),
    (["My brother is ill.", "He works at Siemens."], "My brother works at Siemens."),
    (["我姐姐给我打电话了。", "她搬到罗马了。"], "我姐姐搬到罗马了。"),
]


@pytest.mark.parametrize(("turns", "wanted"), RESOLVED)
def test_a_pronoun_stands_for_the_last_person_named(turns: list[str], wanted: str) -> None:
    statements = read([Turn(text, "u") for text in turns])[-1].statements
    assert [statement.text for statement in statements] == [wanted]
    assert statements[0].rewritten


def test_a_pronoun_that_can_mean_nobody_known_is_left_alone() -> None:
    turns = [Turn("I talked to my brother.", "u"), Turn("She moved to Rome.", "u")]
    assert not read(turns)[-1].statements
    assert not read([Turn("She moved to Rome.", "u")])[0].statements


def test_a_fact_in_the_middle_of_a_long_message_is_found() -> None:
    filler = "Can you explain what a mortgage is? " * 70
    text = f"{filler}By the way, my landlord's name is Ruud and I pay 900 euros. {filler}"
    found = [statement.text for statement in read([Turn(text, "u")])[0].statements]
    assert found == ["my landlord's name is Ruud and I pay 900 euros."]


ANY = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(
            [
                "I",
                "my",
                "we",
                "she",
                "我",
                "他",
                "姐姐",
                "Ann",
                "moved",
                "to",
                "Rome",
                ".",
                "!",
                "?",
                "…",
                "。",
                "？",
                "，",
                "\n",
                "[x]",
                '"',
                "“",
                "”",
                "小说",
                "novel",
                "imagine",
                "works",
                "at",
                "在",
                "上班",
                "don't",
                "不",
                "了",
                "May",
                "2023",
                "-",
                "—",
                "Dr.",
                "e.g.",
                "3.5",
                "\x00",
                "\u200d",
                "🙂",
            ]
        ),
        max_size=60,
    ).map(" ".join),
)


@given(st.lists(ANY, max_size=4))
@settings(max_examples=150, deadline=None)
def test_anything_can_be_read_and_is_taken_from_the_text(texts: list[str]) -> None:
    for text, result in zip(texts, read([Turn(text, "u") for text in texts]), strict=True):
        assert 0 <= result.score <= 3
        for statement in result.statements:
            assert statement.text.strip()
            if not statement.rewritten:
                assert statement.text in text


@given(ANY)
@settings(max_examples=100, deadline=None)
def test_sentences_lose_nothing_but_space(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(s.text for s in found).split()) == "".join(text.split())
    assert all(text[s.start : s.end] == s.text for s in found)


@given(ANY, ANY)
@settings(max_examples=100, deadline=None)
def test_any_two_texts_can_be_compared(one: str, two: str) -> None:
    now = utc_now()
    assert relation(Said(one, now), Said(two, now)) in {
        "repeated",
        "contained",
        "contradicted",
        "compatible",
    }
    slots_of(one)
    appraise(two)
