"""What an application and its background process say to each other: JSON, a line each.

First :class:`Begin` goes to the process, and :class:`Ready` or :class:`Failed` comes back. Then
:class:`Ask`, answered by :class:`Done` or :class:`Failed` of the same ``id`` in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from memoryscope_rag import errors
from memoryscope_rag.errors import MemoryScopeError
from memoryscope_rag.models.ledger import Spent
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import Lease
from memoryscope_rag.schema import Scope

Job = Literal["consolidate", "reflect", "refresh", "break_off", "withdraw"]
Plain = str | int | float | bool | None

_ERRORS: Final = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MemoryScopeError)
}


# ---------------------------------------------------------------- to the background process


@dataclass(frozen=True, slots=True)
class Begin:
    """``config`` is a Config as JSON, ``log_level`` from which on records are wanted."""

    config: str
    log_level: int
    kind: Literal["begin"] = "begin"


@dataclass(frozen=True, slots=True)
class Ask:
    """``seconds`` and ``progress`` are for a refresh."""

    id: int
    job: Job
    scope: Scope
    seconds: float | None = None
    progress: bool = False
    kind: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this any more; there is no answer."""

    id: int
    kind: Literal["cancel"] = "cancel"


# ---------------------------------------------------------------- and back


@dataclass(frozen=True, slots=True)
class Ready:
    """The store and the models are open."""

    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Done:
    """``report`` is that of the job, as plain data.

    ``spent`` is what models have taken since the last answer, by model.
    """

    id: int
    report: Any
    spent: dict[str, Spent] = field(default_factory=dict)
    kind: Literal["done"] = "done"


@dataclass(frozen=True, slots=True)
class Failed:
    """An error by the name of its class; of opening where there is no ``id``.

    ``name`` is empty for one that is none of ours.
    """

    id: int | None
    name: str
    message: str
    values: dict[str, Plain]
    spent: dict[str, Spent] = field(default_factory=dict)
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a refresh is."""

    id: int
    done: int
    total: int
    kind: Literal["progressed"] = "progressed"


@dataclass(frozen=True, slots=True)
class Holding:
    """The leases that the process holds from now on."""

    leases: tuple[Lease, ...]
    kind: Literal["holding"] = "holding"


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of a logger of ours."""

    name: str
    level: int
    message: str
    kind: Literal["logged"] = "logged"


Order: TypeAlias = Begin | Ask | Cancel
Answer: TypeAlias = Ready | Done | Failed | Progressed | Holding | Logged
Report: TypeAlias = ConsolidationReport | ReflectionReport | RefreshReport | None

_ORDERS: Final[TypeAdapter[Order]] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])
_ANSWERS: Final[TypeAdapter[Answer]] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])
_REPORTS: Final[Mapping[Job, TypeAdapter[Any]]] = {
    "consolidate": TypeAdapter(ConsolidationReport),
    "reflect": TypeAdapter(ReflectionReport),
    "refresh": TypeAdapter(RefreshReport),
    "break_off": TypeAdapter(None),
    "withdraw": TypeAdapter(None),
}


def order_line(order: Order) -> bytes:
    """One line, with its end."""
    return _ORDERS.dump_json(order) + b"\n"


def answer_line(answer: Answer) -> bytes:
    """One line, with its end."""
    return _ANSWERS.dump_json(answer) + b"\n"


def read_order(line: bytes) -> Order:
    """What :func:`order_line` wrote. Raises ValueError."""
    return _ORDERS.validate_json(line)


def read_answer(line: bytes) -> Answer:
    """What :func:`answer_line` wrote. Raises ValueError."""
    return _ANSWERS.validate_json(line)


def plain_report(job: Job, report: Report) -> Any:
    """For :class:`Done`."""
    return _REPORTS[job].dump_python(report, mode="json")


def report_of(job: Job, plain: Any) -> Any:
    """What :func:`plain_report` was made of. Raises ValueError."""
    return _REPORTS[job].validate_python(plain)


def failed(asked: int | None, error: BaseException, spent: dict[str, Spent]) -> Failed:
    """The answer that ``error`` is; of one that is none of ours, only its name goes out."""
    ours = next((kind.__name__ for kind in type(error).__mro__ if _is_ours(kind)), "")
    if not ours:
        return Failed(asked, "", type(error).__name__, {}, spent)
    values = {name: value for name, value in vars(error).items() if isinstance(value, Plain)}
    return Failed(asked, ours, str(error), values, spent)


def error_of(answer: Failed) -> Exception:
    """The error that :func:`failed` told of: the same class, message and attributes."""
    kind = _ERRORS.get(answer.name)
    if kind is None:
        return RuntimeError(f"the background process met a {answer.message}")
    # their constructors put messages together, each in its own way; this one is whole
    error = kind.__new__(kind, answer.message)
    vars(error).update(answer.values)
    return error


def _is_ours(kind: type) -> bool:
    return _ERRORS.get(kind.__name__) is kind
