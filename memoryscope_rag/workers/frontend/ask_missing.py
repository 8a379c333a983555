"""ask_missing: a chat model says what the evidence so far lacks."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.clue_lines import clue_lines
from memoryscope_rag.lexical import language_of
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import Clue
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.pack_evidence import node_line
from memoryscope_rag.workers.frontend.state import RetrievalState


class AskMissing(Worker[RetrievalState]):
    """Asks for the questions that are still open, to search by them once more.

    Optional; without a chat model it gives nothing.
    """

    name = "ask_missing"
    reads = frozenset({"text", "now", "ranked"})
    uses = frozenset({"clues"})
    gives = frozenset({"clues"})
    optional = True

    class Params(NoParams):
        """``best``: items that the model is shown. ``max_tokens`` of the reply."""

        best: int = Field(8, ge=1, le=100)
        max_tokens: int = Field(120, ge=16, le=4096)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``clues``, after those that are there."""
        model = self.services.generator
        if model is None or not state.ranked:
            return state
        shown = sorted(state.ranked[: self.params.best], key=lambda item: item.node.said_at)
        prompt = self.services.prompts.get(self.name, language_of(state.text))
        reply = await model.generate(
            prompt.render(
                query=state.text,
                lines="\n".join(node_line(item.node, state.now.tzinfo) for item in shown),
                date=state.now.strftime("%Y-%m-%d"),
            ),
            sampling=Sampling(temperature=0.0, max_tokens=self.params.max_tokens),
        )
        lines = clue_lines(reply.text, cut=reply.finish == "length", known=(state.text,))
        return replace(state, clues=(*state.clues, *(Clue(line, "surrogate") for line in lines)))
