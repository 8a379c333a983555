"""The picture of a memory: what stands in it, and what must not."""

from __future__ import annotations

import re
import struct
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from memoryscope_rag.errors import MissingExtra
from memoryscope_rag.plots.memory_map import MemoryMap
from memoryscope_rag.plots.render import FORMS, Form, render
from memoryscope_rag.ports import Coverage
from tests.plots.sample import BARE, EVIDENCE, MESSAGES, SCOPE, SHOWN

pytest.importorskip("matplotlib")

ZONE = ZoneInfo("Europe/London")


def words_of(svg: str) -> list[str]:
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def drawn(shown: MemoryMap, form: Form = "svg", *, dark: bool = False) -> str:
    return render(shown, form, zone=ZONE, dark=dark).decode()


def test_it_says_what_is_read_what_waits_and_what_it_costs() -> None:
    words = words_of(drawn(BARE))
    assert "What the beacon memory of ann holds" in words
    assert (
        "5 of 8 messages read, 2026-02-03 to 2026-02-10; 3 not yet, 2026-02-10 to 2026-02-17"
        in words
    )
    assert (
        "tiny: 80 tokens kept in 24 rows (3.3 to one), 4.0 KiB on disk, 1.5 s of reading" in words
    )
    assert "one row for 8 tokens: 1 block, 32 tokens, 1.0 KiB" in words
    assert "in full, until a block is full: 16 tokens" in words
    assert "not read yet: 3 messages" in words
    assert {"2026-02-03", "2026-02-10", "2026-02-17"} <= set(words)
    assert not any(text.startswith("Asked") for text in words)


def test_it_shows_where_a_question_led_and_by_which_clue() -> None:
    words = words_of(drawn(SHOWN))
    assert "Asked: Where does Ann work?" in words
    echo = "clues that nothing in memory echoes: 2"
    assert f"profile clues; {echo}; left out: second_round: late" in words
    assert "recalled: Ann's harbour <job>" in words
    assert "a sharper question: Since when does Ann work there?" in words
    assert words.count("2") == 3  # found by a clue and by attention, and in the list
    assert "Ann: 我对虾过敏" in words  # whatever fonts this machine has


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shown", [SHOWN, BARE])
def test_the_same_memory_is_the_same_file(shown: MemoryMap, form: Form) -> None:
    first = render(shown, form, zone=ZONE)
    assert first == render(shown, form, zone=ZONE)
    if form != "html":  # which holds both
        assert first != render(shown, form, zone=ZONE, dark=True)


def test_a_picture_in_dots() -> None:
    data = render(SHOWN, "png", zone=ZONE)
    assert data.startswith(b"\x89PNG")
    wide, high = struct.unpack(">II", data[16:24])
    assert wide == 12 * 144
    assert high > 500


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._cell = tag == "td"
        if self._cell:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"


def test_a_page_for_light_and_dark_that_runs_and_fetches_nothing() -> None:
    text = drawn(SHOWN, "html")
    page = _Page()
    page.feed(text)
    allowed = "html head meta title style body picture source img table caption tr th td"
    assert {tag for tag, _ in page.tags} == set(allowed.split())
    (light,) = (attrs["src"] for tag, attrs in page.tags if tag == "img")
    (dark,) = (attrs["srcset"] for tag, attrs in page.tags if tag == "source")
    for address, form in ((light, False), (dark, True)):
        assert address is not None
        kind, _, content = address.partition(",")
        assert kind == "data:image/svg+xml"
        assert unquote(content) == drawn(SHOWN, dark=form)
    hosts = set(re.findall(r"//([\w.]+)", unquote(text)))
    assert hosts == {"www.w3.org"}  # names of XML's vocabularies
    assert "script" not in text
    assert "Noted <b>& kept</b> for $5 or $6" not in text
    assert {"Ann's harbour <job>", "m0\nm2", "clue 1, attention", "+3.00"} <= set(page.cells)


def test_texts_cannot_leave_their_place() -> None:
    evil = "</text><script>x</script> ${x} [text 1] {light} \x1b[2J\u202e"
    changed = replace(MESSAGES[0], content=evil, speaker="<i>")
    node = replace(EVIDENCE.items[0].node, content=evil, speaker="<i>")
    evidence = replace(EVIDENCE, query=evil, items=(replace(EVIDENCE.items[0], node=node),))
    shown = replace(SHOWN, messages=(changed, *MESSAGES[1:]), evidence=evidence)
    svg, page = drawn(shown), drawn(shown, "html")
    assert not list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}script"))
    assert any("<script>x</script> ${x} [text 1]" in text for text in words_of(svg))
    assert "<script" not in page
    assert "\x1b" not in svg
    render(shown, "png", zone=ZONE)


def test_letters_that_no_font_has_are_told() -> None:
    from memoryscope_rag.plots.texts import MISSING, Drawn, letters_of

    letters = letters_of(["DejaVu Sans"])
    wording = Drawn(letters)
    assert wording("Zoë: ½ a cat") == "Zoë: ½ a cat"
    assert not wording.lacking
    assert wording("我对 虾过敏, ok") == f"{MISSING}, ok"
    assert wording.lacking


def test_what_is_forgotten_is_in_no_picture() -> None:
    """A memory that still covers it shows how much, and nothing of it."""
    left = tuple(message for message in MESSAGES if message.id != "m2")
    evidence = replace(EVIDENCE, items=EVIDENCE.items[:1])
    forms: tuple[Form, ...] = ("svg", "html")
    for form in forms:
        assert ("moved" in drawn(replace(SHOWN, evidence=evidence), form)) == (form == "html")
        text = unquote(drawn(replace(SHOWN, messages=left, evidence=evidence), form))
        assert "moved" not in text
        assert "m2<" not in text
        assert "1 more that it has read are forgotten" in text


@pytest.mark.parametrize("form", FORMS)
def test_nothing_covered_and_nothing_recorded(form: Form) -> None:
    nothing = MemoryMap(SCOPE, "tiny", (), Coverage())
    render(nothing, form, zone=ZONE)
    render(replace(nothing, evidence=replace(EVIDENCE, items=(), clues=())), form, zone=ZONE)
    render(replace(nothing, messages=MESSAGES, evidence=EVIDENCE), form, zone=ZONE)
    assert "Nothing is recorded." in words_of(drawn(nothing))
    unread = replace(nothing, messages=MESSAGES)
    assert "None of 8 messages has been read yet." in words_of(drawn(unread))


def test_a_long_log_stays_a_small_file() -> None:
    messages = tuple(
        replace(MESSAGES[0], id=f"n{n}", seq=n + 1, session_id=f"s{n // 20}") for n in range(30_000)
    )
    ids = tuple(message.id for message in messages)
    attention = dict.fromkeys(ids, 0.5)
    shown = MemoryMap(SCOPE, "tiny", messages, Coverage(ids, 9, 9, 9), attention, EVIDENCE)
    assert len(render(shown, "svg", zone=ZONE)) < 1_500_000


def test_bubbles_stand_side_by_side_and_in_order() -> None:
    from memoryscope_rag.plots.figure import BUBBLE, spread

    places = [2.0, 2.01, 2.02, 5.0, 5.3, 9.0]
    moved = spread(places)
    assert all(b - a > 2 * BUBBLE for a, b in pairwise(moved))
    assert moved[3:] == [5.0, 5.3, 9.0]
    assert abs(moved[1] - 2.01) < 1e-9
    assert spread([]) == []


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"memoryscope-rag\[plots\]"):
        render(BARE, "svg", zone=ZONE)
