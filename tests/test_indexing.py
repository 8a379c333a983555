"""What a message is embedded as: looks back only, and long neighbours do not drown it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.indexing import CONTEXT_CHARS, CONTEXT_TURNS, context_text, document_text

_TURNS = st.lists(
    st.tuples(st.none() | st.sampled_from(["Ann", "Bob"]), st.text(min_size=1, max_size=900)),
    max_size=6,
)


def test_a_named_turn_carries_its_speaker() -> None:
    assert document_text("Ann", "I moved.") == "Ann: I moved."
    assert document_text(None, "I moved.") == "I moved."


def test_the_last_turns_stand_before_the_turn() -> None:
    previous = [("Ann", "one"), ("Bob", "two"), ("Ann", "three")]
    assert context_text(previous, "Bob", "four") == "Bob: two\nAnn: three\nBob: four"


def test_without_turns_before_it_is_the_turn() -> None:
    assert context_text([], "Bob", "four") == "Bob: four"


def test_a_long_turn_before_keeps_its_ends() -> None:
    text = context_text([("Ann", "first " + "x" * 5000 + " last")], None, "turn")
    assert text.startswith("Ann: first")
    assert text.endswith(" last\nturn")
    assert len(text) < CONTEXT_CHARS + 20


@given(_TURNS, st.text(max_size=500))
def test_only_the_last_turns_count_and_the_size_is_bounded(
    previous: list[tuple[str | None, str]], content: str
) -> None:
    text = context_text(previous, "Ann", content)
    assert text.endswith(document_text("Ann", content))
    assert text == context_text(previous[-CONTEXT_TURNS:], "Ann", content)
    assert len(text) <= len(content) + 5 + CONTEXT_TURNS * (CONTEXT_CHARS + 6)
