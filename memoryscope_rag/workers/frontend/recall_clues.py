"""recall_clues: what the beacon memory recalls at the query, as clues."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.schema import ClueKind
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class RecallClues(Worker[RetrievalState]):
    """Asks the model that has read the whole history for clues (MemoRAG, arXiv 2409.05591, §2.2).

    Spans of the text, more precise questions and a draft of the answer. Optional; without a beacon
    memory it gives nothing.
    """

    name = "recall_clues"
    reads = frozenset({"scope", "text"})
    uses = frozenset({"clues"})
    gives = frozenset({"clues"})
    optional = True

    class Params(NoParams):
        """``kinds`` of clues to ask for."""

        kinds: tuple[ClueKind, ...] = Field(("span", "surrogate", "draft"), strict=False)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``clues``, after those that are there."""
        memory = self.services.memory
        if memory is None or not state.text.strip():
            return state
        clues = await memory.clues(state.scope, state.text, self.params.kinds)
        return replace(state, clues=(*state.clues, *clues))
