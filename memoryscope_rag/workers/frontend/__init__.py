"""Workers of retrieval. :mod:`.state` is what they pass on, ``FRONTEND`` lists them by name."""

from memoryscope_rag.workers.frontend.extract_time import ExtractTime
from memoryscope_rag.workers.frontend.fuse_rerank import FuseRerank
from memoryscope_rag.workers.frontend.pack_evidence import PackEvidence
from memoryscope_rag.workers.frontend.read_message import ReadMessage
from memoryscope_rag.workers.frontend.retrieve import RetrieveCandidates
from memoryscope_rag.workers.frontend.semantic_rank import SemanticRank
from memoryscope_rag.workers.frontend.set_query import SetQuery
from memoryscope_rag.workers.frontend.state import RetrievalState

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
    )
}

__all__ = ["FRONTEND", "RetrievalState"]
