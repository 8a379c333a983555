"""Workers of retrieval. :mod:`.state` is what they pass on, ``FRONTEND`` lists them by name."""

from memoryscope_rag.workers.frontend.ask_missing import AskMissing
from memoryscope_rag.workers.frontend.extract_time import ExtractTime
from memoryscope_rag.workers.frontend.find_missing import FindMissing
from memoryscope_rag.workers.frontend.fuse_rerank import FuseRerank
from memoryscope_rag.workers.frontend.hyde_clues import HydeClues
from memoryscope_rag.workers.frontend.pack_evidence import PackEvidence
from memoryscope_rag.workers.frontend.query_clues import QueryClues
from memoryscope_rag.workers.frontend.read_memory import ReadMemory
from memoryscope_rag.workers.frontend.read_message import ReadMessage
from memoryscope_rag.workers.frontend.recall_clues import RecallClues
from memoryscope_rag.workers.frontend.retrieve import RetrieveCandidates
from memoryscope_rag.workers.frontend.semantic_rank import SemanticRank
from memoryscope_rag.workers.frontend.set_query import SetQuery
from memoryscope_rag.workers.frontend.state import RetrievalState
from memoryscope_rag.workers.frontend.support_clues import SupportClues

FRONTEND = {
    worker.name: worker
    for worker in (
        ReadMessage,
        SetQuery,
        ExtractTime,
        RetrieveCandidates,
        SemanticRank,
        FuseRerank,
        PackEvidence,
        ReadMemory,
        RecallClues,
        HydeClues,
        QueryClues,
        SupportClues,
        FindMissing,
        AskMissing,
    )
}

__all__ = ["FRONTEND", "RetrievalState"]
