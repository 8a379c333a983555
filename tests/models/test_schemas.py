"""The strict form of schemas: what has one, and that it means the same."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from memoryscope_rag.models.schemas import strict_schema


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    """What is inside."""

    kind: Literal["a", "b"] = "a"
    score: float = Field(0.5, ge=0, le=1, description="how sure")


class Outer(BaseModel):
    model_config = ConfigDict(extra="allow")
    inner: Inner = Field(Inner(), description="a thing")
    others: list[Inner] = Field([], max_length=3)
    note: str | None = None
    colour: Colour = Colour.RED
    again: Outer | None = None


def objects(schema: Any) -> Any:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_every_object_is_closed_and_wants_everything() -> None:
    model: Any = Inner
    strict = strict_schema(TypeAdapter(model).json_schema())
    assert strict == {
        "type": "object",
        "title": "Inner",
        "description": "What is inside.",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"], "title": "Kind"},
            "score": {
                "type": "number",
                "title": "Score",
                "description": "how sure; minimum 0, maximum 1",
            },
        },
        "required": ["kind", "score"],
        "additionalProperties": False,
    }


class Closed(BaseModel):
    inner: Inner = Field(Inner(), description="a thing")
    others: list[Inner] = Field([], max_length=3)
    note: str | None = None
    colour: Colour = Colour.RED


def test_nested_ones_too() -> None:
    strict = strict_schema(Closed.model_json_schema())
    assert strict is not None
    found = list(objects(strict))
    assert len(found) == 2
    assert all(one["required"] == list(one["properties"]) for one in found)
    assert not any(one["additionalProperties"] for one in found)
    assert strict["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert strict["properties"]["others"]["description"] == "maxItems 3"
    assert strict["properties"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert strict["$defs"]["Colour"]["enum" if "enum" in strict["$defs"]["Colour"] else "const"]


@pytest.mark.parametrize(
    "reply_type",
    [dict[str, int], list[int], tuple[int, str], Any, int, Outer, int | str],
)
def test_what_has_no_strict_form(reply_type: Any) -> None:
    assert strict_schema(TypeAdapter(reply_type).json_schema()) is None


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
        {"type": "object", "properties": {}, "patternProperties": {}},
        {"allOf": [{"type": "object"}, {"type": "object"}]},
    ],
)
def test_what_it_has_no_words_for(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None
