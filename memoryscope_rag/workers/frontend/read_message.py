"""read_message: the last turns of the session the user is in."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class ReadMessage(Worker[RetrievalState]):
    """Reads what the host has in its prompt anyway, so that evidence does not repeat it.

    Without ``current_session`` it reads nothing.
    """

    name = "read_message"
    reads = frozenset({"scope", "current_session"})
    gives = frozenset({"recent"})

    class Params(NoParams):
        """``turns``: how many of the current session's last turns the host still shows."""

        turns: int = Field(6, ge=0, le=1000)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``recent``."""
        if state.current_session is None or self.params.turns == 0:
            return state
        recent = await self.services.store.last_messages(
            state.scope, self.params.turns, session_id=state.current_session
        )
        return replace(state, recent=recent)
