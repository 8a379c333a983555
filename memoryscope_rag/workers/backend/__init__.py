"""Workers behind the chat. :mod:`.state` is what they pass on, ``BACKEND`` lists them by name."""

from __future__ import annotations

from typing import Any

from memoryscope_rag.workers.backend.extend_memory import ExtendMemory
from memoryscope_rag.workers.backend.extract_observations import ExtractObservations
from memoryscope_rag.workers.backend.find_neighbours import FindNeighbours
from memoryscope_rag.workers.backend.find_uncovered import FindUncovered
from memoryscope_rag.workers.backend.info_filter import InfoFilter
from memoryscope_rag.workers.backend.judge_by_rules import JudgeByRules
from memoryscope_rag.workers.backend.judge_conflicts import JudgeConflicts
from memoryscope_rag.workers.backend.match_subjects import MatchSubjects
from memoryscope_rag.workers.backend.propose_subjects import ProposeSubjects
from memoryscope_rag.workers.backend.propose_subjects_by_rules import ProposeSubjectsByRules
from memoryscope_rag.workers.backend.reconsolidate import Reconsolidate
from memoryscope_rag.workers.backend.resolve_times import ResolveTimes
from memoryscope_rag.workers.backend.select_statements import SelectStatements
from memoryscope_rag.workers.backend.state import (
    ConsolidationState,
    ReflectionState,
    RefreshState,
)
from memoryscope_rag.workers.backend.store_insights import StoreInsights
from memoryscope_rag.workers.backend.store_observations import StoreObservations
from memoryscope_rag.workers.backend.update_insights import UpdateInsights
from memoryscope_rag.workers.backend.update_insights_by_rules import UpdateInsightsByRules
from memoryscope_rag.workers.base import Worker

BACKEND: dict[str, type[Worker[Any]]] = {
    worker.name: worker
    for worker in (
        InfoFilter,
        ExtractObservations,
        ResolveTimes,
        FindNeighbours,
        JudgeConflicts,
        SelectStatements,
        JudgeByRules,
        StoreObservations,
        ProposeSubjects,
        ProposeSubjectsByRules,
        MatchSubjects,
        Reconsolidate,
        UpdateInsights,
        UpdateInsightsByRules,
        StoreInsights,
        FindUncovered,
        ExtendMemory,
    )
}

__all__ = ["BACKEND", "ConsolidationState", "ReflectionState", "RefreshState"]
