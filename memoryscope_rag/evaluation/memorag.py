"""What a memory adds to the search for evidence in long documents, what it costs, how it answers.

Each document is memorized, saved and loaded; then each question is searched for in three ways:

- ``question``: by meaning and by words, fused, without the memory;
- ``clues``: the memory's clues alone, fused in the same way;
- ``question and clues``: what :meth:`.DocumentMemory.ask` does.

*recall@k* is the share of a question's evidence that lies whole within the first k chunks; *in
prompt* that in what the answer was written from; *told* the share of the right answer's parts that
the answer names.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memoryscope_rag.documents.evidence import Passage
from memoryscope_rag.documents.memory import DocumentAnswer, DocumentMemory, DocumentOptions
from memoryscope_rag.documents.opening import Models
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation.long_documents import DocumentQuestion, LongDocument
from memoryscope_rag.evaluation.metrics import mean_of
from memoryscope_rag.evaluation.report import Figures, Report
from memoryscope_rag.ports import Embedder

PLACES = (1, 3, 5, 10)
PLAIN, LED = "question", "question and clues"
_SEPARATOR = re.compile(r"[,、]")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MemoragReport:
    """Recall by way of searching, and what each document took."""

    recall: Report
    costs: Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question's figures by way of searching."""

    kind: str
    rows: Mapping[str, Figures]


async def run_memorag(
    documents: Sequence[LongDocument],
    embedder: Embedder,
    options: DocumentOptions,
    *,
    data: str,
    max_tokens: int = 64,
    say: Say = lambda text: None,
    models: Models | None = None,
) -> MemoragReport:
    """Figures of all documents.

    Args:
        data: its name in the report.
        max_tokens: of an answer.
        say: is told what is being done.
        models: as for :meth:`.DocumentMemory.open`.

    Raises:
        InvalidInput: a document has no questions.
        ModelError: a model failed.
    """
    asked: list[_Asked] = []
    costs: dict[str, Figures] = {}
    for document in documents:
        if not document.questions:
            raise InvalidInput("data", f"the document {document.id} has no questions")
        found, cost = await _one(document, embedder, options, max_tokens, say, models or {})
        asked += found
        costs[document.id] = cost
    ways = list(asked[0].rows)
    by_kind = {
        way: {
            kind: mean_of([one.rows[way] for one in asked if one.kind == kind])
            for kind in dict.fromkeys(one.kind for one in asked)
        }
        for way in (PLAIN, LED)
    }
    recall = Report(
        benchmark="memorag",
        data=data,
        embedder=embedder.spec.name,
        n=len(asked),
        systems={way: mean_of([one.rows[way] for one in asked]) for way in ways},
        categories=by_kind,
    )
    return MemoragReport(recall, costs)


async def _one(
    document: LongDocument,
    embedder: Embedder,
    options: DocumentOptions,
    max_tokens: int,
    say: Say,
    models: Models,
) -> tuple[list[_Asked], Figures]:
    """The figures of its questions, and what it took."""
    queries = [question.text for question in document.questions]
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved"
        say(f"{document.id}: memorizing")
        async with await DocumentMemory.open(options, embedder=embedder, **models) as memory:
            await memory.memorize(document.text, source=document.id)
            built = await memory.save(saved)
        began = time.perf_counter()
        async with await DocumentMemory.load(saved, embedder=embedder, **models) as memory:
            loading = time.perf_counter() - began
            say(f"{document.id}: asking {len(queries)} questions")
            answers = await memory.ask_many(queries, max_tokens=max_tokens)
            asked = [
                await _rows(memory, question, answer)
                for question, answer in zip(document.questions, answers, strict=True)
            ]
        size = sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())
    batch = answers[0].timings  # of which all but the search are the whole batch's
    searching = sum(answer.timings["search"] for answer in answers)
    return asked, {
        "tokens": built.memory.tokens,
        "chunks": built.chunks,
        "ratio": built.memory.ratio,
        "build s": built.seconds["memory"],
        "index s": built.seconds["index"],
        "load s": loading,
        "clues s": batch["clues"] / 1000 / len(queries),
        "search s": searching / 1000 / len(queries),
        "write s": batch["write"] / 1000 / len(queries),
        "MB": size / 1e6,
    }


async def _rows(
    memory: DocumentMemory, question: DocumentQuestion, answer: DocumentAnswer
) -> _Asked:
    plain = (await memory.find(question.text)).ranked
    alone = (await memory.find("", answer.clues)).ranked
    led = (await memory.find(question.text, answer.clues)).ranked
    rows = {PLAIN: _recall(plain, question), "clues": _recall(alone, question)}
    rows[LED] = {
        **_recall(led, question),
        "in prompt": _held(answer.evidence, question),
        "clues": len(answer.clues),
        "told": _told(answer.text, question.answer),
    }
    return _Asked(question.kind, rows)


def _recall(ranked: Sequence[Passage], question: DocumentQuestion) -> dict[str, float]:
    return {f"recall@{k}": _held(ranked[:k], question) for k in PLACES}


def _held(passages: Sequence[Passage], question: DocumentQuestion) -> float:
    """The share of the evidence that lies whole within one of ``passages``."""
    held = [
        any(one.start <= start and end <= one.end for one in passages)
        for start, end in question.evidence
    ]
    return sum(held) / len(held)


def _told(text: str, answer: str) -> float:
    parts = [part.strip() for part in _SEPARATOR.split(answer)]
    return sum(part.casefold() in text.casefold() for part in parts) / len(parts)
