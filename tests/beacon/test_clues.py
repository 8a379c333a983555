"""From a model's words to clues, and from clues to what they lean on."""

from __future__ import annotations

import pytest

from memoryscope_rag.beacon.echo import Echo
from memoryscope_rag.beacon.engine import TokenizedMessage
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.clue_lines import LIMIT, clue_lines
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import Build


@pytest.mark.parametrize(
    ("line", "clue"),
    [
        ("1. Ann moved to Lisbon", "Ann moved to Lisbon"),
        ("- Ann moved to Lisbon", "Ann moved to Lisbon"),
        ("• “Ann moved to Lisbon”", "Ann moved to Lisbon"),
        ("Question 2: Where is Otto's basket?", "Where is Otto's basket?"),
        ("3.5 million people live there", "3.5 million people live there"),
        ("12:30 the train left Porto", "12:30 the train left Porto"),
        ('"Stay," she told Otto', '"Stay," she told Otto'),
        ("3、张伟住在上海", "张伟住在上海"),
        ("（2）“北京大学在哪里？”", "北京大学在哪里？"),
        ("《红楼梦》的作者是曹雪芹", "《红楼梦》的作者是曹雪芹"),
    ],
)
def test_marks_of_a_list_go_and_the_words_stay(line: str, clue: str) -> None:
    assert clue_lines(line) == (clue,)


def test_what_finds_nothing_is_no_clue() -> None:
    text = "Here are the passages:\n\nyes\n好的\nOtto\nAnn moved to Lisbon\nann moved to LISBON!"
    assert clue_lines(text) == ("Ann moved to Lisbon",)
    assert clue_lines("Where is Otto's basket?", known=["where is otto's basket"]) == ()


def test_a_line_that_was_cut_is_left_out() -> None:
    assert clue_lines("Ann moved to Lisbon\nClara lives in Po", cut=True) == (
        "Ann moved to Lisbon",
    )
    assert clue_lines("Clara lives in Po", cut=True) == ("Clara lives in Po",)


def test_there_are_not_too_many() -> None:
    assert len(clue_lines("\n".join(f"room {n} has windows" for n in range(99)))) == LIMIT


def remembered(build: Build, *texts: str) -> MemoryState:
    tokenizer, engine = tiny_tokenizer(), build()
    messages = [
        TokenizedMessage(f"m{number}", tokenizer(text)["input_ids"])
        for number, text in enumerate(texts)
    ]
    return engine.append(engine.empty(), messages)


LINES = ("Ann moved to Lisbon. ", "Otto hates trams. ", "Clara lives in Porto. ", "张伟住在上海。")


def test_a_clue_leans_on_the_message_that_holds_its_words(build: Build) -> None:
    state, echo = remembered(build, *LINES), Echo(tiny_tokenizer())
    assert len(state.blocks) == 2
    assert echo.ground(state, "Ann has moved to Lisbon").provenance == ("m0",)
    assert echo.ground(state, "Ann has moved to Lisbon").blocks == (0,)
    assert echo.ground(state, "Otto hates the trams").provenance == ("m1",)
    assert echo.ground(state, "张伟住在上海").provenance == ("m3",)
    assert echo.ground(state, "张伟住在上海").blocks == ()  # in the unfinished window
    invented = echo.ground(state, "Ann studies astronomy in Reykjavik")
    assert (invented.provenance, invented.blocks) == ((), ())
    assert echo.ground(state, "?!").provenance == ()


def test_a_longer_memory_and_a_shorter_one_are_read_anew(build: Build) -> None:
    echo, long = Echo(tiny_tokenizer()), remembered(build, *LINES)
    assert echo.ground(remembered(build, LINES[0]), "Otto hates trams").provenance == ()
    assert echo.ground(long, "Otto hates trams").provenance == ("m1",)
    assert echo.ground(long.rollback(0), "Otto hates trams").provenance == ()
