"""What a query says besides its meaning: whose memory of whom, in which script, about when."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from memoryscope_rag.lexical import UNSPACED, analyze
from memoryscope_rag.schema import Interval

_WORD = re.compile(r"[^\W_]+")
_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class QueryFeatures:
    """One query as the signals need it.

    ``names`` are the speakers of the candidates that the query names. ``unspaced`` says that it
    is mostly written without spaces (Chinese, Japanese …), where an English embedding model knows
    little. ``parts`` counts the rows right after the query's own that are sentences of it.
    ``intervals`` are (start, end) in POSIX seconds, infinite where open; ``clue_intervals`` those
    that clues name. ``attention`` is by node id what
    :func:`~memoryscope_rag.scoring.attention_by_node` gives.
    """

    text: str
    names: frozenset[str] = frozenset()
    unspaced: bool = False
    parts: int = 0
    intervals: tuple[tuple[float, float], ...] = ()
    clue_intervals: tuple[tuple[float, float], ...] = ()
    attention: Mapping[str, float] = field(default_factory=lambda: _NOTHING)

    @property
    def words(self) -> int:
        """About how many words, or characters of an unspaced script, the query has; at least 1."""
        return max(1, len(self.text) if self.unspaced else len(self.text.split()))

    @property
    def terms(self) -> int:
        """How many tokens the query is searched by; at least 1."""
        return max(1, len(analyze(self.text)))


def query_features(
    text: str,
    speakers: Iterable[str],
    intervals: Sequence[Interval] = (),
    parts: int = 0,
    *,
    clue_intervals: Sequence[Interval] = (),
    attention: Mapping[str, float] = _NOTHING,
) -> QueryFeatures:
    """The features of the query ``text``; ``speakers`` are those of the candidates.

    ``parts`` is how many parts of the query were searched for after it, before any clue.
    """
    return QueryFeatures(
        text,
        frozenset(named_in(text, speakers)),
        is_unspaced(text),
        parts,
        seconds(intervals),
        seconds(clue_intervals),
        attention,
    )


def named_in(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that ``text`` mentions, by the first word of the name.

    Case does not matter; a name must stand as a word ("Tim" is not in "time"), except in
    scripts without spaces.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = set(_WORD.findall(folded))
    found = []
    for name in names:
        parts = _WORD.findall(unicodedata.normalize("NFKC", name).casefold())
        if parts and (parts[0] in words or (UNSPACED.search(parts[0]) and parts[0] in folded)):
            found.append(name)
    return tuple(found)


def is_unspaced(text: str) -> bool:
    """Whether most letters of ``text`` belong to a script that puts no spaces between words."""
    letters = sum(1 for char in text if char.isalpha())
    return 0 < letters < 2 * len(UNSPACED.findall(text))


def seconds(intervals: Iterable[Interval]) -> tuple[tuple[float, float], ...]:
    """Intervals as (start, end) in POSIX seconds, infinite where open."""
    return tuple(
        (
            -math.inf if interval.start is None else interval.start.timestamp(),
            math.inf if interval.end is None else interval.end.timestamp(),
        )
        for interval in intervals
    )
