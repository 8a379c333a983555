"""find_neighbours: what is known already that a new fact may repeat or contradict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from memoryscope_rag import indexing, lexical
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import FloatArray, Query, SearchRequest
from memoryscope_rag.schema import Kind, MemoryNode
from memoryscope_rag.scoring.calibration import Scale
from memoryscope_rag.scoring.features import is_unspaced
from memoryscope_rag.workers.backend.facts import likeness, observation_of, slot_of, tokens_of
from memoryscope_rag.workers.backend.state import ConsolidationState
from memoryscope_rag.workers.base import NoParams, Worker

KINDS: frozenset[Kind] = frozenset({"observation", "note"})


@dataclass(frozen=True, slots=True, eq=False)
class _New:
    """A fact as the node that it would become, with what it is compared by."""

    node: MemoryNode
    tokens: frozenset[str]
    vector: FloatArray | None


class FindNeighbours(Worker[ConsolidationState]):
    """Searches observations and notes of all times, closed ones left out, and earlier facts of
    the batch: one search of the store for all facts.

    Near is what is similar in meaning or in words, or speaks of the same attribute of the same
    subject. How many neighbours a fact can have bounds what judging them costs.
    """

    name = "find_neighbours"
    reads = frozenset({"scope", "facts"})
    gives = frozenset({"neighbours"})

    class Params(NoParams):
        """``most``: neighbours of a fact. ``cosine``: how many standard deviations above that of
        unrelated texts the cosine must be. ``words``: or which share of words they must have in
        common, 0 to 1. ``candidates``: nodes that are looked at, a fact and kind of search.
        """

        most: int = Field(5, ge=1, le=50)
        cosine: float = 2.0
        words: float = Field(0.4, ge=0, le=1)
        candidates: int = Field(10, ge=1, le=1000)

    params: Params

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``neighbours``; a fact without any is left out."""
        if not state.facts:
            return replace(state, neighbours={})
        nodes = [observation_of(fact) for fact in state.facts]
        vectors = await self._vectors(nodes)
        new = [
            _New(node, tokens_of(node), vector) for node, vector in zip(nodes, vectors, strict=True)
        ]
        found = await self._search(state, new)
        neighbours: dict[str, tuple[MemoryNode, ...]] = {}
        for index, (one, known) in enumerate(zip(new, found, strict=True)):
            near = [
                *((self._near(one, node, cosine), node) for node, cosine in known),
                *((self._near(one, e.node, _cosine(one, e)), e.node) for e in new[:index]),
            ]
            chosen = sorted(
                ((score, node) for score, node in near if score is not None),
                key=lambda pair: (-pair[0], pair[1].id),
            )
            if chosen:
                most = self.params.most
                neighbours[one.node.id] = tuple(node for _, node in chosen[:most])
        return replace(state, neighbours=neighbours)

    async def _vectors(self, nodes: Sequence[MemoryNode]) -> Sequence[FloatArray | None]:
        # the very texts that are stored, so that an embedder with a cache embeds them once
        embedder = self.services.embedder
        if embedder is not None:
            texts = [indexing.document_text(node.speaker, node.content) for node in nodes]
            try:
                return list(await embedder.embed(texts, "document"))
            except ModelError:
                pass  # then by words alone; the nodes get their vectors later
        return [None] * len(nodes)

    async def _search(
        self, state: ConsolidationState, new: Sequence[_New]
    ) -> list[list[tuple[MemoryNode, float | None]]]:
        """For each fact the known nodes that may be near, with their cosine."""
        store = self.services.store
        requests = [
            SearchRequest(
                queries=(Query("fact", tuple(lexical.analyze(one.node.content)), one.vector),),
                kinds=KINDS,
                limit=self.params.candidates,
                neighbours=0,
            )
            for one in new
        ]
        results = await store.search(state.scope, requests)
        wanted = list(dict.fromkeys(name for found in results for name in found.ids))
        nodes: Mapping[str, MemoryNode] = {
            node.id: node for node in await store.nodes(state.scope, wanted)
        }
        own = {fact.id for fact in state.facts}  # stored by a run that is done again
        return [
            [
                (nodes[name], None if np.isnan(cosine) else float(cosine))
                for name, cosine in zip(found.ids, found.dense[0], strict=True)
                if name in nodes and name not in own
            ]
            for found in results
        ]

    def _near(self, new: _New, node: MemoryNode, cosine: float | None) -> float | None:
        """How near ``node`` is, larger is nearer; ``None`` when it is not."""
        words = likeness(new.tokens, tokens_of(node))
        scale = self._scale(new.node.content)
        deviations = (
            0.0 if cosine is None else scale.trust * (cosine - scale.mean) / scale.deviation
        )
        slot = slot_of(new.node.metadata)
        same_slot = slot is not None and slot == slot_of(node.metadata)
        if deviations < self.params.cosine and words < self.params.words and not same_slot:
            return None
        return deviations + 4 * words + 4 * same_slot

    def _scale(self, text: str) -> Scale:
        calibration = self.services.ranker.calibration
        return calibration.unspaced_dense if is_unspaced(text) else calibration.dense


def _cosine(one: _New, other: _New) -> float | None:
    if one.vector is None or other.vector is None:
        return None
    return float(one.vector @ other.vector)
