"""A typed value from a chat model: asked by its schema, checked, mended once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from memoryscope_rag.errors import MalformedReply
from memoryscope_rag.ports import ChatMessage, Generator, JsonSchema, Reply, Sampling, Usage
from memoryscope_rag.replies import parse_reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A value, the reply it was read from, and the tokens of all turns it took."""

    value: T
    reply: Reply
    usage: Usage


async def ask(
    generator: Generator,
    messages: Sequence[ChatMessage],
    reply_type: type[T],
    *,
    sampling: Sampling = Sampling(),
) -> Answer[T]:
    """The model's reply as a ``reply_type``: a pydantic model, a dataclass, ``list[str]`` ….

    When the first reply cannot be read, the model is told what is wrong with it, once.

    Raises:
        MalformedReply: the second reply cannot be read either, or the server withheld the first;
            ``text`` keeps it.
        ModelError: the model failed.
    """
    schema, wrapper = _schema(reply_type)
    reply = await generator.generate(messages, sampling=sampling, schema=schema)
    try:
        return Answer(_read(reply, reply_type, wrapper), reply, reply.usage)
    except MalformedReply as error:
        if reply.finish == "filter":
            raise
        mending = [*messages, *_repair(reply, error)]
    second = await generator.generate(mending, sampling=sampling, schema=schema)
    return Answer(_read(second, reply_type, wrapper), second, reply.usage + second.usage)


def _read(reply: Reply, reply_type: type[T], wrapper: type[Any] | None) -> T:
    if reply.finish == "filter":
        raise MalformedReply("the server withheld the reply", reply.text)
    if wrapper is not None:
        try:
            value: T = parse_reply(reply.text, wrapper).value
            return value
        except MalformedReply as wrapped:
            try:  # servers without a schema mode may give the bare value
                return parse_reply(reply.text, reply_type)
            except MalformedReply:
                raise wrapped from None
    return parse_reply(reply.text, reply_type)


def _repair(reply: Reply, error: MalformedReply) -> tuple[ChatMessage, ChatMessage]:
    problem = error.problem
    if reply.finish == "length":
        problem += "\n- it was cut off because it grew too long; be shorter"
    request = (
        f"This reply cannot be used:\n{problem}\n"
        "Give the corrected JSON value, whole, and nothing else."
    )
    said = reply.text if reply.text.strip() else "(nothing)"  # servers refuse an empty turn
    return ChatMessage("assistant", said), ChatMessage("user", request)


def _schema(reply_type: type[Any]) -> tuple[JsonSchema, type[Any] | None]:
    """The schema to ask by; where it is not an object's, that of an object holding the value.

    Servers give objects only.
    """
    schema = TypeAdapter(reply_type).json_schema()
    if schema.get("type") == "object":
        return schema, None
    wrapper: type[BaseModel] = create_model(
        "Wrapped", __config__=ConfigDict(extra="forbid"), value=(reply_type, ...)
    )
    return wrapper.model_json_schema(), wrapper
