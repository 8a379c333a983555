"""What the service says of collections of documents, in types that need no model to be imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from memoryscope_rag.ports import Usage
from memoryscope_rag.schema import Clue

if TYPE_CHECKING:
    from memoryscope_rag.documents.asking import DocumentAnswer


@dataclass(frozen=True, slots=True)
class Corpus:
    """A collection: its documents in order, and what reading them came to.

    ``rows`` of memory hold ``tokens`` that were read; ``model`` remembers.
    """

    name: str
    sources: tuple[str, ...]
    chunks: int
    characters: int
    tokens: int
    rows: int
    model: str


@dataclass(frozen=True, slots=True)
class Step:
    """How far reading a document has come, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Making:
    """How a collection is made: see :class:`.DocumentOptions`; ``None`` is its default."""

    ratio: int | None = None
    evidence: Literal["fused", "union"] | None = None
    hits: int | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """What an answer rests on: what stands at ``start:end`` (characters) of the file ``source``.

    ``found_by`` names what found it: ``query``, or ``clue 1`` for the first of the clues.
    """

    text: str
    source: str
    start: int
    end: int
    found_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task gave; see :class:`memoryscope_rag.documents.asking.DocumentAnswer`."""

    text: str
    task: Literal["memorag", "qa", "summarize"]
    query: str
    clues: tuple[Clue, ...]
    evidence: tuple[Passage, ...]
    draft: str
    model: str
    usage: Usage
    finish: str
    timings: Mapping[str, float]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, told: DocumentAnswer) -> Answer:
        """The same in these types."""
        passages = tuple(
            Passage(one.text, one.source, one.start, one.end, one.found_by) for one in told.evidence
        )
        return cls(
            told.text,
            told.task,
            told.query,
            told.clues,
            passages,
            told.draft,
            told.model,
            told.usage,
            told.finish,
            told.timings,
            told.left_out,
        )
