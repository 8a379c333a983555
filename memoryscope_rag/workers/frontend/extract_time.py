"""extract_time: "last summer" and 上周三 in the query as intervals."""

from __future__ import annotations

from dataclasses import replace

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal import find_times, reading
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class ExtractTime(Worker[RetrievalState]):
    """Time expressions of the query, by rules, in the user's time zone.

    A mere moment ("now", "currently") is no stretch that a memory could lie in, and is left out.
    """

    name = "extract_time"
    reads = frozenset({"text", "now"})
    gives = frozenset({"times"})

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``times``."""
        times = find_times(state.text, reference=state.now, prefer=reading(state.text))
        return replace(state, times=tuple(t for t in times if t.grain is not Grain.SECOND))
