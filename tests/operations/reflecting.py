"""A scope with observations, and a chat model that reflects by looking for words."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memoryscope_rag.build import build_ranker
from memoryscope_rag.configs.model import Config
from memoryscope_rag.operations.record import index_fact, record
from memoryscope_rag.operations.reflect import (
    ReflectionOptions,
    ReflectionReport,
    build_reflect,
    reflect,
)
from memoryscope_rag.ports import ChatMessage, Embedder, NodeFilter
from memoryscope_rag.schema import MemoryNode, NewMessage, Scope
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import FrozenClock, ScriptedGenerator
from memoryscope_rag.workers.base import Services
from memoryscope_rag.workers.prompts import Prompts

ANN = Scope("ann")
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
_FACT = re.compile(r"^(\d+)\. \[([\d-]+)\](?: (\w+):)? (.*)$", re.MULTILINE)
_SUBJECT = re.compile(
    r"^(\d+)\. (.+?): (.+?) \| (?:present value|现值): (.*) \| (?:facts|事实): ([\d, ]*)$",
    re.MULTILINE,
)


def day(number: int) -> datetime:
    """The ``number``-th day of the history, a year before :data:`NOW`."""
    return NOW - timedelta(days=365) + timedelta(days=number)


@dataclass
class Thinker:
    """Answers the prompts of reflection as a careful model would, by words.

    ``topics`` are the attributes it knows, with a pattern whose group is the value. What it is to
    propose is in ``proposals``; ``relation`` answers every question about a pair. ``failing`` are
    replies or errors given instead, by the number of the call. No prompt for values that names
    ``poison`` gets a reply that can be read.
    """

    topics: Mapping[str, str] = field(default_factory=dict)
    proposals: Sequence[tuple[str, str]] = ()
    relation: str = "compatible"
    failing: dict[int, str | Exception] = field(default_factory=dict)
    poison: str | None = None
    asked: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def generator(self) -> ScriptedGenerator:
        """A generator that answers so for ever."""
        return ScriptedGenerator(itertools.repeat(lambda messages: self.answer(messages)))

    def answer(self, messages: Sequence[ChatMessage]) -> str:
        """The reply to one prompt."""
        system, user = messages[0].content, messages[1].content
        self.prompts.append(user)
        call = len(self.asked)
        kind = next(k for k in ("relations", "subjects", "insights") if f'"{k}"' in system)
        self.asked.append(kind)
        if call in self.failing:
            reply = self.failing[call]
            if isinstance(reply, Exception):
                raise reply
            return reply
        if self.poison and kind == "insights" and f": {self.poison} |" in user:
            return "no idea"
        return json.dumps(getattr(self, f"_{kind}")(user), ensure_ascii=False)

    def _relations(self, user: str) -> object:
        count = sum('"n":' in line for line in user.splitlines())
        return {"relations": [{"n": n + 1, "relation": self.relation} for n in range(count)]}

    def _subjects(self, user: str) -> object:
        facts = _FACT.findall(user)
        found = []
        for who, attribute in self.proposals:
            numbers = [int(n) for n, _, _, text in facts if self._value(attribute, text)]
            if numbers:
                found.append({"who": who, "attribute": attribute, "facts": numbers})
        return {"subjects": found}

    def _insights(self, user: str) -> object:
        facts = {int(n): text for n, _, _, text in _FACT.findall(user)}
        answers = []
        for n, _, attribute, _, listed in _SUBJECT.findall(user):
            numbers = [int(number) for number in listed.split(", ")]
            saying = [(self._value(attribute, facts[m]), m) for m in numbers]
            told = [(value, m) for value, m in saying if value]
            value = told[-1][0] if told else None
            same = [m for other, m in told if other == value]
            answers.append({"n": int(n), "value": value, "facts": same})
        return {"insights": answers}

    def _value(self, attribute: str, text: str) -> str | None:
        match = re.search(self.topics.get(attribute, "(?!)"), text)
        return match[1] if match else None


@dataclass
class World:
    """A store with facts of one scope, the services of an application, and its clock."""

    store: SQLiteStore
    services: Services
    clock: FrozenClock

    async def say(self, name: str, content: str, *, on: int, who: str | None = "Ann") -> None:
        """A message, as it is recorded."""
        new = NewMessage(name, "s1", "user", content, day(on), who)
        await record(self.store, self.services.embedder, ANN, [new])

    async def learn(
        self, name: str, content: str, *, on: int, who: str | None = "Ann", **metadata: str
    ) -> MemoryNode:
        """An observation of a message that says the same."""
        await self.say(f"m-{name}", content, on=on, who=who)
        node = MemoryNode(
            id=name,
            kind="observation",
            content=content,
            said_at=day(on),
            provenance=(f"m-{name}",),
            session_id="s1",
            speaker=who,
            seq=on,
            valid_from=day(on),
            metadata=metadata,
        )
        await self.store.add_nodes(ANN, [await index_fact(self.services.embedder, node)])
        return node

    async def close(self, name: str, *, on: int, by: str | None = None) -> None:
        """Close an observation, as consolidation does."""
        (node,) = await self.store.nodes(ANN, [name])
        closed = node.with_(valid_to=day(on), superseded_by=by)
        indexed = await index_fact(self.services.embedder, closed)
        await self.store.update_node(ANN, indexed, version=node.version)

    async def reflect(self, **options: int | bool) -> ReflectionReport:
        """One run, without the long-range check unless it is asked for."""
        options = {"long_range": False, **options}
        return await reflect(
            self.services,
            ANN,
            operation=build_reflect(self.services),
            options=replace(ReflectionOptions(), **options),  # type: ignore[arg-type]
            now=self.clock.now(),
        )

    async def insights(self, *, as_of: datetime | None = None, closed: bool = False) -> list[str]:
        """What the insights read like, in order of id."""
        return sorted(node.content for node in await self.nodes(as_of=as_of, closed=closed))

    async def nodes(
        self, *, as_of: datetime | None = None, closed: bool = False
    ) -> tuple[MemoryNode, ...]:
        """The insights."""
        where = NodeFilter(kinds=frozenset({"insight"}), as_of=as_of, closed=closed)
        return (await self.store.list_nodes(ANN, where, limit=1000)).items

    async def fresh(self) -> list[str]:
        """The facts that reflection has not dealt with."""
        where = NodeFilter(kinds=frozenset({"observation", "note"}), reflected=False)
        return [node.id for node in (await self.store.list_nodes(ANN, where, limit=1000)).items]


@asynccontextmanager
async def world(
    folder: Path, thinker: Thinker | None = None, embedder: Embedder | None = None
) -> AsyncIterator[World]:
    """An empty scope; without a ``thinker`` there is no chat model, without an ``embedder`` facts
    are found and compared by their words.
    """
    clock = FrozenClock(NOW)
    spec = None if embedder is None else embedder.spec
    store = SQLiteStore.open(folder / "memory.db", embedder=spec, clock=clock)
    services = Services(
        store=store,
        ranker=build_ranker(Config(), embedder),
        clock=clock,
        embedder=embedder,
        generator=None if thinker is None else thinker.generator(),
        prompts=Prompts.load(),
    )
    try:
        yield World(store, services, clock)
    finally:
        await store.close()
