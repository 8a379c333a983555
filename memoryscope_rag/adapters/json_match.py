"""Which JSON documents and namespaces a LangGraph store is asked for.

Filters compare as ``langgraph.store.memory`` does (langgraph-checkpoint 4.3), which follows
PostgreSQL's JSONB: nested objects by the keys that are named, lists element by element, and numbers
by ``$gt``, ``$gte``, ``$lt`` and ``$lte``. A document without that number is not an error here, it
does not match.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from memoryscope_rag.errors import InvalidInput, suggest

_EQUAL: Final[Mapping[str, Callable[[Any, Any], bool]]] = {"$eq": operator.eq, "$ne": operator.ne}
_ORDER: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(document: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Whether every key of ``wanted`` has that value, or one that its operators allow.

    Raises InvalidInput for an operator that there is not, or a bound that is no number.
    """
    return all(_compare(document.get(key), value) for key, value in (wanted or {}).items())


def _compare(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(key.startswith("$") for key in wanted):
            return all(_allows(value, name, bound) for name, bound in wanted.items())
        return isinstance(value, Mapping) and matches(value, wanted)
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(wanted)
            and all(_compare(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return bool(value == wanted)


def _allows(value: Any, name: str, bound: Any) -> bool:
    if name in _EQUAL:
        return _EQUAL[name](value, bound)
    if name not in _ORDER:
        raise InvalidInput("filter", f"{name!r} is unknown; {suggest(name, {*_EQUAL, *_ORDER})}")
    try:
        limit = float(bound)
    except (TypeError, ValueError):
        raise InvalidInput("filter", f"{name} compares with numbers only") from None
    try:
        return _ORDER[name](float(value), limit)
    except (TypeError, ValueError):
        return False  # it has no such number


def matches_path(namespace: Sequence[str], match_type: str, path: Sequence[str]) -> bool:
    """Whether ``namespace`` begins or ends (``"prefix"``, ``"suffix"``) with ``path``.

    ``"*"`` stands for any label.
    """
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if match_type == "prefix" else namespace[-len(path) :]
    return all(label in (own, "*") for own, label in zip(part, path, strict=False))
