"""What tests of consolidation share: a memory with a scripted model, and a model that reads."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.operations.base import StageSpec
from memoryscope_rag.operations.consolidate import (
    ConsolidationOptions,
    ConsolidationReport,
    build_consolidate,
    consolidate,
)
from memoryscope_rag.operations.record import record
from memoryscope_rag.ports import ChatMessage, Generator, NodeFilter
from memoryscope_rag.schema import MemoryNode, Message, NewMessage, Role, Scope
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import FrozenClock, HashEmbedder, ScriptedGenerator
from memoryscope_rag.testing.fakes import ScriptedReply as ScriptedReply
from memoryscope_rag.workers.base import Services
from memoryscope_rag.workers.prompts import Prompts

ZONE = ZoneInfo("Europe/Berlin")
NOON = datetime(2025, 3, 12, 12, tzinfo=ZONE)
"""A Wednesday."""
ANN = Scope("ann")
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]*")
_KEYS = ("scores", "facts", "relations")


def asked(messages: Sequence[ChatMessage]) -> tuple[str, list[dict[str, Any]]]:
    """What a prompt asks for ("scores", "facts" or "relations"), and the lines that it numbers."""
    key = next(key for key in _KEYS if f'{{"{key}":' in messages[0].content)
    lines = [json.loads(line) for line in messages[1].content.splitlines() if line[:1] == "{"]
    return key, [line for line in lines if "n" in line]


def scores(*values: int) -> str:
    """A reply of ``info_filter`` to as many passages."""
    return json.dumps({"scores": [{"n": n, "score": v} for n, v in enumerate(values, 1)]})


def facts(*items: Mapping[str, Any]) -> str:
    """A reply of ``extract_observations``."""
    return json.dumps({"facts": list(items)}, ensure_ascii=False)


def fact(content: str, *sources: int, **more: Any) -> dict[str, Any]:
    """One fact of such a reply, from the first passage unless others are named."""
    return {"content": content, "sources": list(sources or (1,)), **more}


def relations(*values: str) -> str:
    """A reply of ``judge_conflicts``."""
    return json.dumps({"relations": [{"n": n, "relation": v} for n, v in enumerate(values, 1)]})


def reader(
    judge: Callable[[str, str], str] = lambda known, new: "compatible",
    score: Callable[[str], int] = lambda text: 3,
) -> Callable[[Sequence[ChatMessage]], str]:
    """A model that takes every sentence for a fact, "I" for the speaker, and reads times as said.

    ``judge`` is told the known and the new statement.
    """

    def reply(messages: Sequence[ChatMessage]) -> str:
        key, lines = asked(messages)
        if key == "scores":
            return scores(*(score(line["text"]) for line in lines))
        if key == "relations":
            return relations(*(judge(line["known"], line["new"]) for line in lines))
        found = []
        for line in lines:
            for sentence in _SENTENCE.findall(line["text"]):
                content = re.sub(r"\bI\b", line["speaker"], sentence).strip()
                content = content.replace("我", line["speaker"])
                if content:
                    found.append(fact(content, line["n"], keywords=content.split()[-1:]))
        return facts(*found)

    return reply


def reading(**how: Any) -> ScriptedGenerator:
    """A generator that never runs out of :func:`reader`'s replies."""
    return ScriptedGenerator(itertools.repeat(reader(**how)))


@dataclass
class Memory:
    """A store with a scope, a clock and a model."""

    store: SQLiteStore
    services: Services
    clock: FrozenClock
    scope: Scope = ANN
    minute: int = 0
    names: Iterable[int] = field(default_factory=itertools.count)

    async def say(
        self,
        *texts: str,
        role: Role = "user",
        session: str = "s1",
        speaker: str | None = "Ann",
        at: datetime | None = None,
    ) -> list[str]:
        """Record messages a minute apart; their ids, m0, m1 ... in order."""
        messages = []
        for text in texts:
            name = f"m{next(iter(self.names))}"
            said = at or NOON + timedelta(minutes=self.minute)
            self.minute += 1
            messages.append(NewMessage(name, session, role, text, said, speaker))
        await record(self.store, self.services.embedder, self.scope, messages)
        return [message.id for message in messages]

    async def run(
        self,
        *replies: ScriptedReply,
        model: Generator | None = None,
        stages: Sequence[StageSpec] | Path | None = None,
        now: datetime | None = None,
        **options: Any,
    ) -> ConsolidationReport:
        """Consolidate with these replies of the model; all of them must be asked for."""
        generator = model or ScriptedGenerator(replies)
        services = Services(
            self.store,
            self.services.ranker,
            self.clock,
            embedder=self.services.embedder,
            generator=generator,
            prompts=self.services.prompts,
        )
        report = await consolidate(
            services,
            self.scope,
            operation=build_consolidate(services, stages),
            options=ConsolidationOptions(**options),
            now=now or self.clock.now(),
        )
        if isinstance(generator, ScriptedGenerator) and model is None:
            assert generator.calls == len(replies) == report.calls
        return report

    async def known(self, *, closed: bool = False) -> list[MemoryNode]:
        """The observations, by the time they were said."""
        where = NodeFilter(kinds=frozenset({"observation", "note"}), closed=closed)
        page = await self.store.list_nodes(self.scope, where, limit=1000)
        return sorted(page.items, key=lambda node: (node.said_at, node.seq, node.content))

    async def contents(self, *, closed: bool = False) -> list[str]:
        """What they say."""
        return [node.content for node in await self.known(closed=closed)]

    async def messages(self) -> dict[str, Message]:
        """All messages by id."""
        return {m.id: m for m in await self.store.messages(self.scope, limit=10_000)}

    async def states(self) -> dict[str, str]:
        """The state of every message."""
        return {name: message.state for name, message in (await self.messages()).items()}


@asynccontextmanager
async def memory(path: Path, *, embedder: bool = True) -> AsyncIterator[Memory]:
    """A new or existing store in the folder ``path``."""
    clock = FrozenClock(NOON + timedelta(days=30))
    hashed = HashEmbedder() if embedder else None
    store = SQLiteStore.open(
        path / "memory.db", embedder=hashed.spec if hashed else None, clock=clock
    )
    ranker = LinearRanker.from_json(packaged_text("configs/rankers", "generic.json"))
    services = Services(store, ranker, clock, embedder=hashed, prompts=Prompts.load())
    try:
        yield Memory(store, services, clock)
    finally:
        await store.close()
