"""hyde_clues: what a chat model that knows nothing of the history imagines, as clues."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.clue_lines import clue_lines
from memoryscope_rag.lexical import language_of
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import Clue
from memoryscope_rag.temporal import is_question
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class HydeClues(Worker[RetrievalState]):
    """Asks the chat model to imagine what was said (HyDE, arXiv 2212.10496, §3).

    It stands in where no beacon memory gives clues. Optional; without a chat model it gives
    nothing.
    """

    name = "hyde_clues"
    reads = frozenset({"text", "now"})
    uses = frozenset({"clues"})
    gives = frozenset({"clues"})
    optional = True

    class Params(NoParams):
        """``beside``: ask also where there are clues already. ``max_tokens`` of the reply."""

        beside: bool = False
        max_tokens: int = Field(200, ge=16, le=4096)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``clues``, after those that are there."""
        model = self.services.generator
        if model is None or not state.text.strip() or (state.clues and not self.params.beside):
            return state
        prompt = self.services.prompts.get(self.name, language_of(state.text))
        reply = await model.generate(
            prompt.render(query=state.text, date=state.now.strftime("%Y-%m-%d")),
            sampling=Sampling(temperature=0.0, max_tokens=self.params.max_tokens),
        )
        clues = guessed(reply.text, state.text, cut=reply.finish == "length")
        return replace(state, clues=(*state.clues, *clues))


def guessed(text: str, query: str, *, cut: bool) -> tuple[Clue, ...]:
    """The clues in what a chat model wrote, a line each; ``cut``: its last line is not whole."""
    return tuple(
        Clue(line, "surrogate" if is_question(line) else "draft")
        for line in clue_lines(text, cut=cut, known=(query,))
    )
