"""Where to cut a long text: at sentence ends, else at spaces, else between characters.

Pure functions over a text and the places where its tokens begin. Linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Span = tuple[int, int]

# A sentence ends after its mark, closing quotes and the white space that follows; "3.14" and
# "e.g" have no space there. Chinese marks need none. A new line ends one in any case.
_SENTENCE_END = re.compile(
    r"[.!?…]+[\"'”’»)\]]*\s+|[。！？｡…]+[”’」』）】\"']*\s*|[^\S\n]*\n\s*", re.UNICODE
)
_SPACE = re.compile(r"\s+")
_JOINERS = {"\u200d", "\u200c", "\u2060"}
_LOOK = 64
"""How far a cut moves to stay between graphemes; longer ones are cut all the same."""


def split(text: str, starts: IntArray, budget: int) -> tuple[Span, ...]:
    """Spans that cover ``text`` without gap or overlap, of about equal size.

    Args:
        starts: the character at which each token begins, ascending.
        budget: the most tokens a span may hold, at least 1.

    Returns:
        (start, end) in characters; one span when all tokens fit, for an empty text too. No span
        but that one is empty. A token that does not begin a span is counted where it begins, so
        a cut inside a word may change its tokens: see :func:`pieces`.
    """
    total = len(starts)
    if total <= budget or len(text) < 2:
        return ((0, len(text)),)
    grades = [_ends(_SENTENCE_END, text, starts), _ends(_SPACE, text, starts)]
    spans: list[Span] = []
    begin = token = 0
    while total - token > budget:
        left = total - token
        ideal = token + left / -(-left // budget)
        # Not below half of a fair share, or a full stop early on would make a tiny piece.
        low = token + max(1, int((ideal - token) / 2))
        cut = next(
            (
                found
                for places, counts in grades
                if (found := _nearest(places, counts, low, token + budget, ideal)) is not None
            ),
            None,
        )
        if cut is None or cut <= begin:
            cut = _between_graphemes(text, int(starts[int(ideal)]), begin)
        if cut >= len(text):
            break
        spans.append((begin, cut))
        begin = cut
        # At least one further: a run of tokens that begin at one character cannot be parted.
        token = max(token + 1, int(np.searchsorted(starts, cut, side="left")))
    spans.append((begin, len(text)))
    return tuple(spans)


def pieces(text: str, token_starts: Callable[[str], IntArray], budget: int) -> tuple[Span, ...]:
    """As :func:`split`, each span re-read by itself and cut again until it fits ``budget``.

    Cut off from what stood before it, the rest of a word can make more tokens than it did inside.
    ``token_starts`` gives the start of each token of a text; it is called once for the whole and
    once for each span. A single character that does not fit stays as it is.
    """
    spans = split(text, token_starts(text), budget)
    if len(spans) == 1:
        return spans
    done: list[Span] = []
    for start, end in spans:
        done.extend(_refit(text, start, end, token_starts, budget))
    return tuple(done)


def _refit(
    text: str, start: int, end: int, token_starts: Callable[[str], IntArray], budget: int
) -> list[Span]:
    waiting = [(start, end)]
    fitting: list[Span] = []
    while waiting:
        first, last = waiting.pop()
        inner = text[first:last]
        starts = token_starts(inner)
        if len(starts) <= budget or last - first < 2:
            fitting.append((first, last))
            continue
        parts = split(inner, starts, budget)
        if len(parts) == 1:  # all its tokens begin at one character
            middle = _between_graphemes(inner, len(inner) // 2, 0)
            middle = middle if 0 < middle < len(inner) else len(inner) // 2
            parts = ((0, middle), (middle, len(inner)))
        waiting.extend((first + a, first + b) for a, b in reversed(parts))
    return fitting


def _ends(pattern: re.Pattern[str], text: str, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Where matches end, and how many tokens begin before each of these places."""
    places = np.fromiter((match.end() for match in pattern.finditer(text)), dtype=np.int64)
    return places, np.searchsorted(starts, places, side="left").astype(np.int64)


def _nearest(places: IntArray, counts: IntArray, low: int, high: int, ideal: float) -> int | None:
    """The place with the count nearest to ``ideal`` among those within ``low..high``."""
    first = int(np.searchsorted(counts, low, side="left"))
    last = int(np.searchsorted(counts, high, side="right"))
    if first == last:
        return None
    return int(places[first + int(np.argmin(np.abs(counts[first:last] - ideal)))])


def _between_graphemes(text: str, wanted: int, begin: int) -> int:
    """The cut at or before ``wanted`` that parts no combining sequence, or one right after it."""
    wanted = max(wanted, begin + 1)
    for place in range(wanted, max(begin, wanted - _LOOK), -1):
        if _may_cut(text, place, begin):
            return place
    for place in range(wanted + 1, min(len(text), wanted + _LOOK)):
        if _may_cut(text, place, begin):
            return place
    return min(wanted, len(text))


def _may_cut(text: str, place: int, begin: int) -> bool:
    if not 0 < place < len(text):
        return True
    before, after = text[place - 1], text[place]
    if before in _JOINERS or after in _JOINERS or (before == "\r" and after == "\n"):
        return False
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # the skin tone of the emoji before
        return False
    if unicodedata.category(after).startswith("M"):  # accents, vowel signs, variation selectors
        return False
    if _is_flag_half(before) and _is_flag_half(after):
        run = place  # flags pair up from the start of their run, or of the span
        while run > begin and _is_flag_half(text[run - 1]):
            run -= 1
        return (place - run) % 2 == 0
    return True


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
