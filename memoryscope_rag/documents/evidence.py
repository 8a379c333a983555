"""From a question and its clues to the passages that an answer is written from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from memoryscope_rag.documents.chunking import Chunk
from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.documents.fusion import reciprocal_rank_fusion
from memoryscope_rag.documents.lexical_index import LexicalIndex
from memoryscope_rag.schema import Clue

EvidenceMode = Literal["fused", "union"]
EVIDENCE_MODES: tuple[EvidenceMode, ...] = get_args(EvidenceMode)
ECHO = 0.3
"""The share of a clue's words that one of the chunks it finds must hold."""
UNION_HITS = 3
"""Chunks of each query in MemoRAG."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of evidence: what stands at ``start:end`` (characters) of ``source``.

    ``index`` is its place among all chunks. ``found_by`` names what found it: ``query``, or
    ``clue 1`` for the first of the clues.
    """

    text: str
    source: str
    start: int
    end: int
    index: int
    found_by: tuple[str, ...] = ()

    @property
    def citation(self) -> str:
        """``source:start-end``."""
        return f"{self.source}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a question and its clues found.

    Attributes:
        ranked: passages, best first, no text twice.
        clues: those that led there.
        unsupported: how many clues were dropped, because nothing that they found says a word of
            theirs.
    """

    ranked: tuple[Passage, ...]
    clues: tuple[Clue, ...]
    unsupported: int = 0


class Evidence:
    """Both searches over the chunks of an index as it is now."""

    def __init__(self, dense: DenseIndex) -> None:
        self.chunks = dense.chunks
        self.dense = dense
        self._lexical = LexicalIndex(self.chunks)

    async def fused(self, query: str, clues: Sequence[Clue], hits: int) -> Found:
        """Dense and lexical hits of ``query`` and of each clue, by weighted reciprocal rank.

        All clues together weigh as much as the query, which one good clue can so move and ten bad
        ones cannot drown. A clue that nothing echoes is dropped.

        Args:
            query: may be empty; then there are only clues.
            hits: chunks of each text in each search.

        Raises:
            ModelError: the embedder failed.
        """
        asked = [query] if query else []
        texts = [*asked, *(clue.text for clue in clues)]
        near = await self._nearest(texts, hits)
        alike = await asyncio.to_thread(self._lexical.search, texts, hits)
        pairs = list(zip(near, alike, strict=True))
        of_clues = list(zip(clues, pairs[len(asked) :], strict=True))
        supported = [one for one in of_clues if self._echoed(one[0].text, *one[1])]
        used = [*pairs[: len(asked)], *(pair for _, pair in supported)]
        names = [*(["query"] if asked else []), *_names(len(supported))]
        share = 1.0 / max(1, len(supported))
        weights = [1.0] * len(asked) + [share] * len(supported)
        rankings = [ranking for pair in used for ranking in pair]
        order = reciprocal_rank_fusion(rankings, [w for w in weights for _ in range(2)])
        found_by = [(name, {*pair[0], *pair[1]}) for name, pair in zip(names, used, strict=True)]
        kept = tuple(clue for clue, _ in supported)
        return Found(self._passages(order, found_by), kept, len(clues) - len(kept))

    async def union(self, query: str, clues: Sequence[Clue]) -> Found:
        """The three nearest chunks of ``query`` and of each clue, as in MemoRAG.

        Best first all the same, so that what does not fit can be left out from the end. Raises as
        :meth:`fused`.
        """
        texts = [*([query] if query else []), *(clue.text for clue in clues)]
        near = await self._nearest(texts, UNION_HITS)
        names = [*(["query"] if query else []), *_names(len(clues))]
        found_by = [(name, set(some)) for name, some in zip(names, near, strict=True)]
        order = reciprocal_rank_fusion(near)
        return Found(self._passages(order, found_by), tuple(clues))

    async def _nearest(self, texts: Sequence[str], hits: int) -> list[list[int]]:
        return [
            [hit.chunk.index for hit in found] for found in await self.dense.search(texts, hits)
        ]

    def _echoed(self, text: str, *rankings: Sequence[int]) -> bool:
        return any(self._lexical.share(text, at) >= ECHO for some in rankings for at in some)

    def _passages(
        self, order: Sequence[int], found_by: Sequence[tuple[str, set[int]]]
    ) -> tuple[Passage, ...]:
        found: dict[str, Passage] = {}
        for chunk in map(self.chunks.__getitem__, order):
            names = tuple(name for name, some in found_by if chunk.index in some)
            found.setdefault(chunk.text, _passage(chunk, names))
        return tuple(found.values())


def _names(count: int) -> list[str]:
    return [f"clue {number}" for number in range(1, count + 1)]


def _passage(chunk: Chunk, found_by: tuple[str, ...]) -> Passage:
    return Passage(chunk.text, chunk.source, chunk.start, chunk.end, chunk.index, found_by)
