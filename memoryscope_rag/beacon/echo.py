"""What a clue leans on: the messages and blocks in which its words stand.

By words, not by attention: the texts are read back from the tokens that a memory keeps, analysed
as for lexical search, and compared with the clue. A word counts the more the fewer places it
stands in, and one that stands nowhere counts against the clue most.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.lexical import analyze

SUPPORT = 0.5
"""The share of a clue's words, by weight, that a place must hold to be leaned on."""
_NEARLY = 0.8
"""So much of the best place's share is as good."""
_PLACES = 3
"""Places that a clue leans on at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a message has in one block; ``block`` is ``None`` in the unfinished window."""

    message_id: str
    block: int | None
    ids: bytes


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the words of a text stand: message ids and numbers of blocks, in order."""

    provenance: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()


class Echo:
    """Finds the ground of texts in a memory. Keeps the terms of the memory it saw last."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._terms: dict[Place, frozenset[str]] = {}
        self._counts: Counter[str] = Counter()

    def ground(self, state: MemoryState, text: str) -> Ground:
        """What ``text`` leans on; nothing where no place holds enough of its words."""
        self._read(state)
        weights = {term: self._weight(term) for term in set(analyze(text))}
        total = sum(weights.values())
        if not total:
            return Ground()
        shares = {
            place: sum(weights[term] for term in weights.keys() & terms) / total
            for place, terms in self._terms.items()
        }
        least = max(SUPPORT, _NEARLY * max(shares.values(), default=0.0))
        best = sorted((p for p in shares if shares[p] >= least), key=lambda p: -shares[p])[:_PLACES]
        found = [place for place in self._terms if place in best]
        blocks = [place.block for place in found if place.block is not None]
        ids = [place.message_id for place in found]
        return Ground(tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(blocks)))

    def _weight(self, term: str) -> float:
        return math.log1p(len(self._terms) / (self._counts[term] or 0.5))

    def _read(self, state: MemoryState) -> None:
        places = list(dict.fromkeys(_places(state)))
        if places == list(self._terms):
            return
        before = self._terms
        self._terms = {place: before.get(place) or self._read_back(place) for place in places}
        self._counts = Counter(term for terms in self._terms.values() for term in terms)

    def _read_back(self, place: Place) -> frozenset[str]:
        ids = list(memoryview(place.ids).cast("i"))
        return frozenset(analyze(self._tokenizer.decode(ids, skip_special_tokens=True)))


def _places(state: MemoryState) -> Iterator[Place]:
    """Each message's part in each block, in order."""
    ids = state.token_ids().numpy()
    ends = [block.end for block in state.blocks]
    for span in state.spans:
        start = span.start
        while start < span.end:
            number = bisect_right(ends, start)
            inside = number < len(ends)
            stop = min(span.end, ends[number]) if inside else span.end
            yield Place(span.message_id, number if inside else None, ids[start:stop].tobytes())
            start = stop
