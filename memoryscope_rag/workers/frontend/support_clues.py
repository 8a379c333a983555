"""support_clues: clues that nothing in memory echoes are dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from memoryscope_rag.ports import Candidates
from memoryscope_rag.scoring import echo_strength
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.query_clues import numbered
from memoryscope_rag.workers.frontend.state import RetrievalState


class SupportClues(Worker[RetrievalState]):
    """Drops clues whose words, or what they mean, stand in no candidate: a model made them up.

    One that comes with the messages that it leans on has its echo there. What a dropped one found
    stays a candidate, but no signal speaks for it on its account any more.
    """

    name = "support_clues"
    reads = frozenset({"text", "queries", "memory", "evidence"})
    uses = frozenset({"leads", "unsupported", "searched"})
    gives = frozenset({"leads", "unsupported", "searched", "memory", "evidence"})

    class Params(NoParams):
        """What a candidate must reach for an echo: ``lexical``, the share of a clue's words by
        weight, or ``dense``, standard deviations above an unrelated turn.
        """

        lexical: float = Field(0.4, ge=0)
        dense: float = Field(4.0)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``leads`` and candidates without them, and ``unsupported``, how many there were."""
        asked = len(state.queries)
        sides = [side for side in (state.memory, state.evidence) if side is not None and len(side)]
        if not state.leads or not sides:
            return state
        texts = [lead.clue.text for lead in state.leads]
        heard = np.array([bool(lead.clue.provenance) for lead in state.leads])
        for side in sides:
            shares, deviations = echo_strength(side, texts, asked, self.services.ranker.calibration)
            heard |= (shares >= self.params.lexical) | (deviations >= self.params.dense)
        if heard.all():
            return state
        rows = np.concatenate([np.ones(asked, dtype=np.bool_), heard])
        kept = [lead for lead, echo in zip(state.leads, heard, strict=True) if echo]
        left = replace(
            state,
            leads=numbered(kept),
            unsupported=state.unsupported + len(state.leads) - len(kept),
            memory=_with_rows(state.memory, rows),
            evidence=_with_rows(state.evidence, rows),
        )
        return replace(left, searched=left.rows)


def _with_rows(candidates: Candidates | None, rows: NDArray[np.bool_]) -> Candidates | None:
    """``candidates`` with the scores of these queries only."""
    if candidates is None:
        return None
    return replace(
        candidates,
        dense=candidates.dense[rows],
        dense_context=candidates.dense_context[rows],
        lexical=candidates.lexical[rows],
        lexical_context=candidates.lexical_context[rows],
        lexical_best=candidates.lexical_best[rows],
    )
