"""Every error this package raises on purpose.

MemoryScopeError
├── InvalidInput              the caller's value; names the field
│   ├── UnknownId             no message or node of that id in this scope
│   └── DuplicateId           the id is taken by other content
├── ConfigError               the caller's settings; names the key and its neighbours
├── StoreError                the world: the database
│   ├── StoreCorrupt          the file is damaged or is no store of ours
│   ├── StoreUnavailable      busy, full disk, read-only folder, closed
│   ├── SchemaTooNew          written by a later version of this package
│   ├── EmbeddingMismatch     the store holds vectors of another model
│   ├── BeaconMismatch        the beacon memory was made with another model
│   └── LeaseLost             another process took the scope over
├── ModelError                the world: a model or its server; has ``retryable``
│   ├── ModelNotFound         the files are not here; says how to get them
│   ├── ModelCorrupt          a file's checksum is not the pinned one
│   ├── MemoryStale           the beacon memory holds what the log does not; it is refreshed
│   └── BudgetExceeded        the money set aside for the model is spent
├── MalformedReply            a model's answer that no parser could read; keeps the text
└── MissingExtra              also an ImportError; names the extra to install

One root, so one ``except`` catches them all. Messages name the thing and the alternatives; they
never carry the content of a memory.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MemoryScopeError(Exception):
    """Root of every error this package raises on purpose."""


class InvalidInput(MemoryScopeError, ValueError):
    """The caller passed a value that cannot be stored or searched faithfully.

    ``field`` is the name of the offending field.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UnknownId(InvalidInput):
    """No message or node with this id exists in the scope that was asked."""


class DuplicateId(InvalidInput):
    """The id is already taken by other content; nothing was overwritten."""


class ConfigError(MemoryScopeError):
    """A setting, an operation or a worker that cannot be built."""


class StoreError(MemoryScopeError):
    """The database could not do what was asked. ``retryable`` says whether to try again."""

    retryable = False


class StoreCorrupt(StoreError):
    """The file is damaged, or it is not a store of this package."""


class StoreUnavailable(StoreError):
    """Busy, closed, disk full or not writable; the data are as they were before the call."""

    retryable = True


class SchemaTooNew(StoreError):
    """The store was written by a later version of this package."""


class EmbeddingMismatch(StoreError):
    """The store holds vectors of another embedding model than the one that was opened."""


class BeaconMismatch(StoreError):
    """The beacon memory was made with another model, tokenizer or prompt than those at hand."""


class LeaseLost(StoreError):
    """The lease expired and another process took the scope over."""


class ModelError(MemoryScopeError):
    """A model, or the server behind it, failed. ``retryable`` says whether to try again.

    ``retry_after`` is how long the server asked to wait, in seconds. ``detail`` is what the server
    said; it may quote the prompt, so it is no part of the message and belongs in no log.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.detail = detail


class ModelNotFound(ModelError):
    """The model's files are not on this machine; the message says how to get them."""


class ModelCorrupt(ModelError):
    """A model file does not have the checksum that was pinned for it."""


class MemoryStale(ModelError):
    """The beacon memory of the scope holds what was forgotten since, and is not read until that
    has been taken out of it.
    """

    def __init__(self) -> None:
        super().__init__("the memory of this scope is being refreshed", retryable=True)


class BudgetExceeded(ModelError):
    """What was set aside for a model is spent; nothing was sent."""


class MalformedReply(MemoryScopeError):
    """A model answered with something no parser could read. ``text`` keeps the answer.

    ``problem`` says what is wrong in words for the model; it may quote the answer.
    """

    def __init__(self, message: str, text: str, *, problem: str = "") -> None:
        super().__init__(message)
        self.text = text
        self.problem = problem or message


class MissingExtra(MemoryScopeError, ImportError):
    """An optional part was asked for whose packages are not installed."""

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs the extra {extra!r}: pip install 'memoryscope-rag[{extra}]'"
        )
        self.extra = extra


def suggest(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest of ``known`` to ``name``, then all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
