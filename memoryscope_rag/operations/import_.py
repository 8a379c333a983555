"""Import: the JSON lines of an export back into a scope, line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from memoryscope_rag.errors import DuplicateId, InvalidInput
from memoryscope_rag.operations.portability import message_from_dict, node_from_dict
from memoryscope_rag.operations.record import index_fact, record
from memoryscope_rag.ports import Embedder, MemoryStore
from memoryscope_rag.schema import NewMessage, Scope

BATCH = 64


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; ``problems`` are (line number from 1, reason)."""

    stored: int
    known: int
    facts: int
    problems: tuple[tuple[int, str], ...]


class _Import:
    def __init__(self, store: MemoryStore, embedder: Embedder | None, scope: Scope) -> None:
        self.store, self.embedder, self.scope = store, embedder, scope
        self.stored = self.known = self.facts = 0
        self.problems: list[tuple[int, str]] = []
        self._batch: list[tuple[int, NewMessage, Mapping[str, Any]]] = []

    async def line(self, number: int, text: str) -> None:
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise InvalidInput("line", "is no JSON object")
            if data.get("type") == "message":
                self._batch.append((number, message_from_dict(data), data))
                if len(self._batch) >= BATCH:
                    await self.flush()
            elif data.get("type") == "node":
                await self.flush()
                await self._fact(number, data)
            else:
                raise InvalidInput("type", "must be 'message' or 'node'")
        except json.JSONDecodeError as error:
            self.problems.append((number, f"not valid JSON: {error.msg} at {error.pos}"))
        except InvalidInput as error:
            self.problems.append((number, str(error)))

    async def flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        outcome = await record(
            self.store, self.embedder, self.scope, [message for _, message, _ in batch]
        )
        for (number, message, data), result in zip(batch, outcome, strict=True):
            if result.status == "refused":
                self.problems.append(
                    (number, f"message id {message.id!r} is taken by other content")
                )
            elif result.status == "known":
                self.known += 1
            else:
                self.stored += 1
                state = data.get("state")
                # what waits in an outbox has no state yet: it will be pending
                if state in {"consolidated", "parked"} and result.status == "stored":
                    reason = data.get("state_reason")
                    await self.store.mark(self.scope, [message.id], state, reason)

    async def _fact(self, number: int, data: Mapping[str, Any]) -> None:
        raw = data.get("versions")
        if not isinstance(raw, list) or not raw or not all(isinstance(v, dict) for v in raw):
            raise InvalidInput("versions", "must be a list of node versions")
        versions = [node_from_dict(version) for version in raw]
        if any(v.kind == "conversation" for v in versions):
            raise InvalidInput("kind", "conversation nodes come from messages")
        first = versions[0]
        try:
            await self.store.add_nodes(self.scope, [await index_fact(self.embedder, first)])
        except DuplicateId:
            present = await self.store.history(self.scope, first.id)
            if [n.content for n in present] != [n.content for n in versions]:
                self.problems.append((number, f"node id {first.id!r} is taken by other content"))
                return
            self.known += 1
            return
        version = first.version
        for later in versions[1:]:
            stored = await self.store.update_node(
                self.scope, await index_fact(self.embedder, later), version=version
            )
            version = stored.version
        self.facts += 1


async def import_lines(
    store: MemoryStore,
    embedder: Embedder | None,
    scope: Scope,
    lines: Iterable[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import ``lines``; a bad one is reported with its number and the rest goes in."""
    work = _Import(store, embedder, scope)
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    for done, (number, line) in enumerate(numbered, 1):
        await work.line(number, line)
        if progress is not None:
            progress(done, len(numbered))
    await work.flush()
    return ImportReport(work.stored, work.known, work.facts, tuple(sorted(work.problems)))
