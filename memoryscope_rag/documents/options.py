"""How a memory of documents is made and searched."""

from __future__ import annotations

from dataclasses import dataclass, field

from memoryscope_rag.beacon.options import MemoryOptions
from memoryscope_rag.documents.evidence import EVIDENCE_MODES, EvidenceMode
from memoryscope_rag.documents.vectors import IndexOptions
from memoryscope_rag.errors import InvalidInput, suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOptions:
    """What a memory of documents is made with; it stays with it.

    Attributes:
        memory: of the model that remembers. ``None``: none does on this machine; windows are retold
            by the generator, which also reads the retellings when it is asked
            (:class:`.gist_texts.GistTexts`).
        index: how documents are cut into chunks and their vectors compared.
        evidence: ``fused``: dense and lexical hits of the query and of each clue, by reciprocal
            rank; clues that nothing echoes are dropped. ``union``: the three nearest chunks of
            each, all of them, as in MemoRAG.
        hits: chunks of each text in each search, when they are fused.
        budget_tokens: of all passages together, when they are fused, or the context of what writes
            the answer is not known.

    Raises:
        InvalidInput: there is no such mode, or a number is below 1.
    """

    memory: MemoryOptions | None = field(default_factory=MemoryOptions)
    index: IndexOptions = field(default_factory=IndexOptions)
    evidence: EvidenceMode = "fused"
    hits: int = 10
    budget_tokens: int = 2048

    def __post_init__(self) -> None:
        if self.evidence not in EVIDENCE_MODES:
            known = suggest(self.evidence, EVIDENCE_MODES)
            raise InvalidInput("evidence", f"{self.evidence!r} is unknown; {known}")
        for name in ("hits", "budget_tokens"):
            if getattr(self, name) < 1:
                raise InvalidInput(name, f"is {getattr(self, name)}, must be at least 1")
