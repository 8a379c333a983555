"""read_memory: which messages the query draws attention to in the beacon memory."""

from __future__ import annotations

from dataclasses import replace
from heapq import nlargest

from pydantic import Field

from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class ReadMemory(Worker[RetrievalState]):
    """Reads how much attention the query draws to each message: a signal of the ranker.

    The messages with the most of it become candidates even if no search finds them. Optional;
    without a beacon memory it gives nothing.
    """

    name = "read_memory"
    reads = frozenset({"scope", "text"})
    gives = frozenset({"attention", "attended"})
    optional = True

    class Params(NoParams):
        """``best``: how many messages join the candidates."""

        best: int = Field(30, ge=0, le=1000)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``attention`` by message id and ``attended``, the ids of the best."""
        memory = self.services.memory
        if memory is None or not state.text.strip():
            return state
        attention = await memory.attention(state.scope, state.text)
        best = nlargest(self.params.best, attention, key=lambda name: (attention[name], name))
        return replace(state, attention=attention, attended=tuple(best))
