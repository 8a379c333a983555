"""A beacon memory that says nothing of what was forgotten."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from memoryscope_rag.errors import MemoryStale, ModelError, StoreError
from memoryscope_rag.models.cached import text_key
from memoryscope_rag.ports import Coverage, HistoryMemory, MemoryStore
from memoryscope_rag.schema import Clue, ClueKind, Message, Scope
from memoryscope_rag.workers.backend.agreement import agreement

T = TypeVar("T")
_CHECKED = 4096
"""Scopes of which it is kept that they were looked at; a question costs the look otherwise."""


@dataclass(slots=True)
class Asked:
    """Questions to a memory: all, those whose answer was known or on its way, those refused."""

    asked: int = 0
    cached: int = 0
    refused: int = 0


@dataclass(slots=True, eq=False)
class _Running:
    task: asyncio.Task[Any]
    waiting: int = 0


class TrustedMemory:
    """A memory around another one that hands out only what rests on messages of the log.

    A question is answered when all that the memory covers is in the log, before the model is
    asked and after; else it raises :class:`~memoryscope_rag.errors.MemoryStale` and calls
    ``stale``, for the memory to be refreshed. The look is spared while neither the memory nor the
    generation of the scope has changed. Damaged files count as stale, too.

    Answers are kept, the last ``capacity`` of them, as long as the memory is the same: messages
    that it has not read do not change what it says. A question that is asked twice at once is
    answered once. It belongs to one event loop; closing it closes the inner one.
    """

    def __init__(
        self,
        inner: HistoryMemory,
        store: MemoryStore,
        *,
        stale: Callable[[Scope], None] = lambda scope: None,
        capacity: int = 256,
    ) -> None:
        self.counts = Asked()
        self._inner = inner
        self._store = store
        self._stale = stale
        self._capacity = capacity
        self._answers: OrderedDict[tuple[Scope, Hashable], Any] = OrderedDict()
        self._running: dict[tuple[Scope, Hashable], _Running] = {}
        self._checked: OrderedDict[Scope, tuple[int, int]] = OrderedDict()

    @property
    def model(self) -> str:
        """The inner memory's."""
        return self._inner.model

    async def coverage(self, scope: Scope) -> Coverage:
        """The inner memory's, whether it is to be trusted or not."""
        return await self._inner.coverage(scope)

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        """As the inner memory; answers of the old one are let go of."""
        try:
            return await self._inner.write(scope, messages, keep=keep)
        finally:
            self.let_go(scope)

    async def drop(self, scope: Scope) -> None:
        """As the inner memory; answers of the old one are let go of."""
        try:
            await self._inner.drop(scope)
        finally:
            self.let_go(scope)

    def let_go(self, scope: Scope) -> None:
        """Keep no answer of ``scope``, and look anew before the next one."""
        self._checked.pop(scope, None)
        for key in [key for key in self._answers if key[0] == scope]:
            del self._answers[key]

    async def clues(self, scope: Scope, query: str, kinds: Sequence[ClueKind]) -> tuple[Clue, ...]:
        """As the inner memory.

        Raises:
            MemoryStale: it covers what was forgotten.
            ModelError: the model failed, or the memory cannot be read.
        """
        return await self._answer(
            scope,
            ("clues", text_key(query), tuple(kinds)),
            lambda: self._inner.clues(scope, query, kinds),
            (),
        )

    async def attention(self, scope: Scope, query: str) -> Mapping[str, float]:
        """As the inner memory. Raises as :meth:`clues`."""
        return await self._answer(
            scope,
            ("attention", text_key(query)),
            lambda: self._inner.attention(scope, query),
            {},
        )

    async def close(self) -> None:
        """Close the inner memory, which ends what is asked."""
        self._answers.clear()
        await self._inner.close()

    # ------------------------------------------------------------ inside

    async def _answer(
        self, scope: Scope, question: Hashable, ask: Callable[[], Awaitable[T]], nothing: T
    ) -> T:
        self.counts.asked += 1
        try:
            for _ in range(2):
                before = await self._inner.coverage(scope)
                if not before.message_ids:
                    return nothing
                generation = await self._check(scope, before)
                key = (scope, (hash(before), question))
                if key in self._answers:
                    self.counts.cached += 1
                    self._answers.move_to_end(key)
                    known: T = self._answers[key]
                    return known
                answer = await self._once(key, ask)
                after = await self._inner.coverage(scope)
                same = await self._check(scope, after) == generation
                if after == before:
                    self._keep(key, answer)
                    return answer
                if same and after.message_ids[: len(before.message_ids)] == before.message_ids:
                    return answer  # it has read on meanwhile, and nothing was forgotten
            raise MemoryStale  # nobody can tell which of several memories has answered
        except MemoryStale:
            self.counts.refused += 1
            self._stale(scope)
            raise
        except StoreError as error:
            self._stale(scope)
            raise ModelError(
                f"the memory of this scope cannot be read: {error}", retryable=error.retryable
            ) from error

    def _keep(self, key: tuple[Scope, Hashable], answer: Any) -> None:
        self._answers[key] = answer
        while len(self._answers) > self._capacity:
            self._answers.popitem(last=False)

    async def _check(self, scope: Scope, coverage: Coverage) -> int:
        """The generation at which everything that is covered is in the log, else MemoryStale."""
        generation = await self._store.generation(scope)
        seen = (generation, hash(coverage.message_ids))
        if self._checked.get(scope) == seen:
            return generation
        agreed = await agreement(self._store, scope, coverage.message_ids)
        if agreed.count < len(coverage.message_ids):
            self.let_go(scope)
            raise MemoryStale
        self._checked[scope] = seen
        self._checked.move_to_end(scope)
        while len(self._checked) > _CHECKED:
            self._checked.popitem(last=False)
        return generation

    async def _once(self, key: tuple[Scope, Hashable], ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of one call for all that wait for it; it ends when nobody does any more."""
        running = self._running.get(key)
        if running is None:

            async def asking() -> T:
                return await ask()

            running = self._running[key] = _Running(asyncio.create_task(asking()))
        else:
            self.counts.cached += 1
        running.waiting += 1
        try:
            answer: T = await asyncio.shield(running.task)
            return answer
        finally:
            running.waiting -= 1
            if not running.waiting:
                self._running.pop(key, None)
                running.task.cancel()
