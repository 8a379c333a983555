"""Where blocks, tail, lag and evidence stand along the log."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.plots.memory_map import MemoryMap, Span
from memoryscope_rag.ports import Coverage, CoveredBlock
from tests.plots.sample import BARE, COVERAGE, MESSAGES, SCOPE, SHOWN


def test_a_message_in_two_blocks_is_shared_between_them() -> None:
    few, many = BARE.tiers
    assert (few.ratio, few.blocks, few.tokens, few.bytes) == (4, 1, 32, 2048)
    assert (many.ratio, many.blocks, many.tokens, many.bytes) == (8, 1, 32, 1024)
    assert many.spans == ((0, 2.5),)
    assert few.spans == ((2.5, 4),)
    assert BARE.tail == ((4, 5),)
    assert BARE.behind_spans == ((5, 8),)
    assert [m.id for m in BARE.behind] == ["m5", "m6", "m7"]


def test_the_last_message_reaches_into_the_tail() -> None:
    blocks = (*COVERAGE.blocks, CoveredBlock(32, 4, 2048, ("m3", "m4")))
    shown = replace(BARE, coverage=replace(COVERAGE, blocks=blocks))
    assert shown.tail == ((4.5, 5),)
    assert shown.tiers[0].spans == ((2.5, 4.5),)


def test_what_the_log_does_not_hold_stands_nowhere() -> None:
    shown = replace(SHOWN, messages=tuple(m for m in MESSAGES if m.id != "m2"))
    assert shown.gone == 1
    assert [m.id for m in shown.covered] == ["m0", "m1", "m3", "m4"]
    assert shown.tiers[1].spans == ((0, 2),)
    assert shown.lanes[1].leans_on == (0,)


def test_what_was_read_in_another_order_stands_in_that_of_the_log() -> None:
    blocks = (CoveredBlock(8, 2, 8, ("m0", "m4")), CoveredBlock(8, 2, 8, ("m1",)))
    shown = replace(BARE, coverage=Coverage(("m0", "m4", "m1"), 16, 8, 16, blocks=blocks))
    assert shown.tiers[0].spans == ((0, 2), (4, 5))
    assert shown.behind_spans == ((2, 4), (5, 8))
    assert shown.tail == ()


def test_stretches_of_a_session() -> None:
    assert [(first.id, span) for first, span in BARE.sessions] == [
        ("m0", (0, 3)),
        ("m3", (3, 6)),
        ("m6", (6, 8)),
    ]


def test_each_clue_shows_what_it_leans_on_and_what_it_led_to() -> None:
    lanes = {lane.name: lane for lane in SHOWN.lanes}
    assert list(lanes) == ["query", "clue 1", "clue 2", "attention", "neighbour"]
    assert lanes["query"].ranks == (1, 4)
    assert (lanes["clue 1"].ranks, lanes["clue 1"].leans_on) == ((2,), (0, 2))
    assert (lanes["clue 2"].ranks, lanes["clue 2"].leans_on) == ((), ())
    assert lanes["attention"].ranks == (2,)
    assert lanes["neighbour"].ranks == (3,)
    assert BARE.lanes == ()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 30))
def test_covered_and_not_covered_fill_the_log_without_gap_or_overlap(
    sizes: list[int], window: int
) -> None:
    """Messages of so many tokens, read in windows; a block lists every message it has tokens of."""
    messages = MESSAGES[: len(sizes)]
    owners = [m.id for m, size in zip(messages, sizes, strict=True) for _ in range(size)]
    whole = len(owners) // window
    blocks = tuple(
        CoveredBlock(window, 4, 8, tuple(dict.fromkeys(owners[n * window : (n + 1) * window])))
        for n in range(whole)
    )
    ids = tuple(m.id for m in messages)
    coverage = Coverage(ids, len(owners), 1, 1, tail_tokens=len(owners) % window, blocks=blocks)
    shown = MemoryMap(SCOPE, "tiny", MESSAGES, coverage)
    spans: list[Span] = [span for tier in shown.tiers for span in tier.spans]
    spans += [*shown.tail, *shown.behind_spans]
    place = 0.0
    for start, end in sorted(spans):
        assert abs(start - place) < 1e-6
        assert end > start
        place = end
    assert abs(place - len(MESSAGES)) < 1e-6
