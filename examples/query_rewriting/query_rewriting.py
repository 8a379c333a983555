"""rewrite_query: "Where does she work?" becomes "Where does Ann work?" before anything is searched.

A package of its own. Once it is installed, ``retrieve.yaml`` beside it can name the worker.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend import RetrievalState

TASK = (
    "Rewrite the last question so that it can be understood without the conversation before it. "
    "Keep its language. Answer with the question alone."
)


class RewriteQuery(Worker[RetrievalState]):
    """Puts what pronouns stand for into the query, from the last turns of the session.

    Optional: when the model fails or the deadline comes first, the query stays as it is.
    """

    name = "rewrite_query"
    reads = frozenset({"text"})
    uses = frozenset({"recent"})
    gives = frozenset({"text"})
    optional = True

    class Params(NoParams):
        """``turns``: how many turns the model is shown."""

        turns: int = Field(4, ge=1, le=20)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``text``."""
        model = self.services.generator
        if model is None or not state.recent:
            return state
        turns = [f"{m.speaker or m.role}: {m.content}" for m in state.recent[-self.params.turns :]]
        shown = "\n".join([*turns, f"Question: {state.text}"])
        reply = await model.generate([ChatMessage("system", TASK), ChatMessage("user", shown)])
        return replace(state, text=reply.text.strip() or state.text)
