"""From what a server sends to a Reply, whole or in pieces, the reasoning apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from memoryscope_rag.models.failures import Asked, Failure
from memoryscope_rag.ports import Delta, Reply, Usage
from memoryscope_rag.replies import ReasoningSplitter, split_reasoning

FINISHES: Mapping[str, Literal["stop", "length", "filter", "other"]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "filter",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event of a stream brings, or a whole answer; what is empty was not said.

    ``usage`` is what the call has taken so far. ``finish`` is the server's word for the end.
    """

    text: str = ""
    reasoning: str = ""
    model: str = ""
    usage: Usage | None = None
    finish: str = ""


def whole(piece: Piece, asked: Asked) -> Reply:
    """The reply of an answer that came at once."""
    text, thought = split_reasoning(piece.text)
    return Reply(
        text,
        piece.model or asked.model,
        piece.usage or Usage(),
        FINISHES.get(piece.finish, "other"),
        piece.reasoning + thought,
    )


async def assembled(pieces: AsyncGenerator[Piece], asked: Asked) -> AsyncGenerator[Delta]:
    """The stream as :class:`~memoryscope_rag.ports.Generator` gives it; closes ``pieces``.

    Raises:
        ModelError: the stream ended without saying how, as when a proxy gives up in good form.
    """
    splitter = ReasoningSplitter()
    texts: list[str] = []
    thoughts: list[str] = []
    model, usage, finish = asked.model, Usage(), ""
    async with aclosing(pieces):
        async for piece in pieces:
            model = piece.model or model
            usage = piece.usage or usage
            finish = piece.finish or finish
            text, thought = splitter.feed(piece.text)
            thoughts += (piece.reasoning, thought)
            if text:
                texts.append(text)
                yield Delta(text)
    if not finish:
        raise Failure("connection", code="the stream broke off").error(asked)
    text, thought = splitter.finish()
    if text:
        texts.append(text)
        yield Delta(text)
    reasoning = "".join((*thoughts, thought))
    yield Delta("", Reply("".join(texts), model, usage, FINISHES.get(finish, "other"), reasoning))
