"""documents: collections that are read once and asked often, in MemoRAG's manner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Base64Bytes, Field
from starlette.responses import Response, StreamingResponse

from memoryscope_rag.errors import MemoryScopeError
from memoryscope_rag.ports import Sampling
from memoryscope_rag.service.access import Forgetter, Reader, Writer
from memoryscope_rag.service.answers import answer, described, dump, event
from memoryscope_rag.service.corpora import Answer, Corpus, Making, Step
from memoryscope_rag.service.problems import Problem, problem_of
from memoryscope_rag.service.schemas import InScope, Name, Text
from memoryscope_rag.service.shelf import OnShelf

router = APIRouter(prefix="/documents", tags=["documents"])
_EVENTS = described(
    "text/event-stream",
    "Events: progress (many), then corpus; problem when it breaks off.",
    {
        "type": "object",
        "properties": {
            "event": {"enum": ["progress", "corpus", "problem"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    },
)


class CorpusBody(InScope):
    """One collection."""

    corpus: Name


class DocumentBody(CorpusBody):
    """A file to read: its name, whose ending says what it is, and its bytes in base64.

    The rest says how a collection is made that is not there yet.
    """

    name: Name
    content: Annotated[Base64Bytes, Field(strict=False)]
    ratio: int | None = Field(None, ge=1, le=64)
    evidence: Literal["fused", "union"] | None = None
    hits: int | None = Field(None, ge=1, le=100)
    budget_tokens: int | None = Field(None, ge=64, le=100_000)


class AskBody(CorpusBody):
    """A question, or for ``summarize`` none."""

    query: Text = ""
    task: Literal["memorag", "qa", "summarize"] = "memorag"
    use_memory_answer: bool = False
    max_tokens: int = Field(256, ge=1, le=8192)
    temperature: float = Field(0.0, ge=0, le=10)


@router.post("/list", response_model=list[Corpus])
async def list_(body: InScope, who: Reader, shelf: OnShelf) -> Response:
    """The collections of a scope."""
    return answer(list[Corpus], await shelf.corpora(body.scope(who.tenant)))


@router.post("/add", response_class=StreamingResponse, responses=_EVENTS)
async def add(body: DocumentBody, who: Writer, shelf: OnShelf, request: Request) -> Response:
    """Read a text, Markdown, PDF or Word file into a collection, telling how far it is.

    Reading goes on when the request is left.
    """
    making = Making(body.ratio, body.evidence, body.hits, body.budget_tokens)
    steps = shelf.add(body.scope(who.tenant), body.corpus, body.name, body.content, making)
    first = await anext(aiter(steps))  # what cannot be read at all is refused as usual

    async def events() -> AsyncIterator[bytes]:
        try:
            yield _told(first)
            async for step in steps:
                yield _told(step)
        except MemoryScopeError as error:
            yield event("problem", bytes(problem_of(error).response(_id(request)).body))
        except Problem as problem:
            yield event("problem", bytes(problem.response(_id(request)).body))

    return StreamingResponse(events(), media_type="text/event-stream")


def _told(step: Step | Corpus) -> bytes:
    if isinstance(step, Step):
        return event("progress", dump(Step, step))
    return event("corpus", dump(Corpus, step))


def _id(request: Request) -> str:
    return str(request.state.request_id)


@router.post("/ask", response_model=Answer)
async def ask(body: AskBody, who: Reader, shelf: OnShelf) -> Response:
    """Carry out one of MemoRAG's tasks: ``memorag``, ``qa``, ``summarize``."""
    told = await shelf.ask(
        body.scope(who.tenant),
        body.corpus,
        body.query,
        body.task,
        use_memory_answer=body.use_memory_answer,
        sampling=Sampling(temperature=body.temperature, max_tokens=body.max_tokens),
    )
    return answer(Answer, told)


@router.post("/remove", status_code=204)
async def remove(body: CorpusBody, who: Forgetter, shelf: OnShelf) -> None:
    """Remove a collection with its memory and its passages."""
    await shelf.remove(body.scope(who.tenant), body.corpus)
