"""How to ask a server for JSON: by a schema, as any object, or by words alone.

Servers differ in what they understand and say so only by refusing. The first refusal moves one rung
down, and a :class:`Ladder` remembers, so that it happens once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from memoryscope_rag.models.schemas import strict_schema
from memoryscope_rag.ports import ChatMessage, JsonSchema

Rung = Literal["json_schema", "json_object", "prompt"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
_ABOUT_FORMAT = (
    "response_format",
    "response format",
    "json_schema",
    "json_object",
    "json mode",
    "structured output",
)
_ABOUT_SCHEMA = ("invalid schema", "invalid_json_schema", "grammar", "guided")


class Ladder:
    """The rung that each (server, model) and each schema of it has come down to.

    One for an application; it grows by an entry a refusal. Safe for tasks and threads.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Rung] = {}

    def rung(self, server: str, model: str, schema: JsonSchema, first: Rung) -> Rung:
        """Where to start: ``first`` unless a lower one is known to be needed."""
        keys = ((server, model, ""), (server, model, _digest(schema)))
        return max((self._known.get(key, first) for key in keys), key=RUNGS.index)

    def refused(self, server: str, model: str, schema: JsonSchema, rung: Rung, why: str) -> bool:
        """Take note of a refusal (400 or 422); whether it is one that a lower rung may mend.

        ``why`` is what the server said. A server that finds fault with one schema is asked by
        schema for others.
        """
        words = why.lower()
        about_schema = any(part in words for part in _ABOUT_SCHEMA)
        about_format = any(part in words for part in _ABOUT_FORMAT)
        if rung == RUNGS[-1] or not (about_schema or about_format):
            return False
        key = (server, model, _digest(schema) if about_schema else "")
        lower = RUNGS[RUNGS.index(rung) + 1]
        self._known[key] = max(lower, self._known.get(key, lower), key=RUNGS.index)
        return True


def response_format(rung: Rung, schema: JsonSchema) -> dict[str, Any] | None:
    """The request's ``response_format``; ``None`` on the lowest rung."""
    if rung == "json_schema":
        strict = strict_schema(schema)
        inner = {
            "name": _name(schema),
            "schema": dict(schema) if strict is None else strict,
            "strict": strict is not None,
        }
        return {"type": "json_schema", "json_schema": inner}
    return {"type": "json_object"} if rung == "json_object" else None


def with_schema(messages: Sequence[ChatMessage], schema: JsonSchema) -> list[ChatMessage]:
    """The messages with the schema told in words, at the end of the first system message."""
    text = (
        "Reply with one JSON value and nothing else: no prose, no code fence. "
        "It must conform to this JSON schema:\n"
        + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    )
    result = list(messages)
    for place, message in enumerate(result):
        if message.role == "system":
            result[place] = replace(message, content=f"{message.content}\n\n{text}")
            return result
    return [ChatMessage("system", text), *result]


def _digest(schema: JsonSchema) -> str:
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def _name(schema: JsonSchema) -> str:
    title = str(schema.get("title", ""))
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in title)
    return name[:64] or "reply"
