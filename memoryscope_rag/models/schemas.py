"""JSON schemas in the strict form of OpenAI's structured outputs.

There every object lists all its properties as required and allows no other, and keywords that only
restrict a value are not understood everywhere. They are told in the description instead; the reply
is checked against the type in any case.
"""

from __future__ import annotations

from typing import Any

from memoryscope_rag.ports import JsonSchema

_KEPT = {"type", "enum", "const", "anyOf", "$ref", "title", "description", "items", "properties"}
_TOLD = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
)
_DROPPED = {"default", "examples", "discriminator", "required", "additionalProperties", "$defs"}


class _NotStrict(Exception):
    """The schema says something that the strict form has no words for."""


def strict_schema(schema: JsonSchema) -> dict[str, Any] | None:
    """``schema`` in the strict form, or ``None`` where there is no equal in it.

    Open mappings, tuples, ``allOf`` of several and a root that is no object have none.
    """
    try:
        result = _strict(schema)
        if result.get("type") != "object":
            return None
        if "$defs" in schema:
            result["$defs"] = {name: _strict(part) for name, part in schema["$defs"].items()}
    except _NotStrict:
        return None
    return result


def _strict(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict) or not schema:
        raise _NotStrict
    if len(schema.get("allOf", ())) == 1:  # how a reference with a description is written
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        schema = {**schema["allOf"][0], **rest}
    if "oneOf" in schema:
        schema = {**schema, "anyOf": schema["oneOf"]}
        del schema["oneOf"]
    if set(schema) - _KEPT - set(_TOLD) - _DROPPED:
        raise _NotStrict
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    result = {key: schema[key] for key in ("type", "enum", "const", "title") if key in schema}
    told = [f"{key} {schema[key]}" for key in _TOLD if key in schema]
    description = "; ".join(filter(None, (schema.get("description", ""), ", ".join(told))))
    if description:
        result["description"] = description
    if "anyOf" in schema:
        result["anyOf"] = [_strict(part) for part in schema["anyOf"]]
    if schema.get("type") == "array":
        result["items"] = _strict(schema.get("items"))
    if schema.get("type") == "object":
        if schema.get("additionalProperties") not in (None, False) or "properties" not in schema:
            raise _NotStrict
        result["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
        result["required"] = list(schema["properties"])
        result["additionalProperties"] = False
    elif not result.keys() & {"type", "enum", "const", "anyOf"}:
        raise _NotStrict
    return result
