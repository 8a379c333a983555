"""Small messages, nodes and vectors for tests of stores, made from numbers and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np

from memoryscope_rag.ports import (
    EmbedderSpec,
    FloatArray,
    IndexedNode,
    LogEntry,
    Query,
    SearchRequest,
)
from memoryscope_rag.schema import KINDS, Event, Interval, Kind, MemoryNode, NewMessage, Scope

DIMENSION = 8
SPEC = EmbedderSpec("sample-8", DIMENSION, "sample-8-v1", 128)
OTHER_SPEC = EmbedderSpec("other-12", 12, "other-12-v1", 128)
START = datetime(2024, 3, 1, 9, 30, tzinfo=UTC)
ALICE, BOB = Scope("alice"), Scope("bob")
WORDS = tuple(f"word{number}" for number in range(30))
ALL_KINDS = frozenset(KINDS)


def vector(random: Random, dimension: int = DIMENSION) -> FloatArray:
    """A random unit vector."""
    values = np.array([random.gauss(0, 1) for _ in range(dimension)], dtype=np.float32)
    return (values / np.linalg.norm(values)).astype(np.float32)


def message(
    name: str, content: str = "hello", *, session: str = "s1", minute: int = 0
) -> NewMessage:
    """A message by Ann, ``minute`` minutes after :data:`START`."""
    return NewMessage(name, session, "user", content, START + timedelta(minutes=minute), "Ann")


def entry(new: NewMessage, random: Random | None = None, *, pieces: int = 1) -> LogEntry:
    """A message with ``pieces`` conversation nodes; with ``random`` they have vectors."""
    cut = max(1, len(new.content) // pieces)
    nodes = []
    for number in range(pieces):
        start = number * cut
        end = len(new.content) if number == pieces - 1 else start + cut
        node = MemoryNode(
            id=f"{new.id}#{number}",
            kind="conversation",
            content=new.content[start:end],
            said_at=new.created_at,
            provenance=(new.id,),
            session_id=new.session_id,
            speaker=new.speaker,
            role=new.role,
            span=(start, end),
        )
        nodes.append(indexed(node, random, context="before"))
    return LogEntry(new, tuple(nodes))


def indexed(node: MemoryNode, random: Random | None = None, *, context: str = "") -> IndexedNode:
    """A node found by its own words, its context by ``context`` and these."""
    terms = tuple(node.content.split())
    return IndexedNode(
        node,
        terms,
        (*context.split(), *terms),
        None if random is None else vector(random),
        None if random is None else vector(random),
        node.content.endswith("?"),
    )


def fact(
    name: str,
    content: str = "likes tea",
    *,
    kind: Kind = "observation",
    sources: Sequence[str] = (),
    minute: int = 0,
) -> MemoryNode:
    """A node that is not of the conversation."""
    said_at = START + timedelta(minutes=minute)
    return MemoryNode(name, kind, content, said_at, tuple(sources))


def random_text(random: Random, most: int = 12) -> str:
    """Some words of :data:`WORDS`, frequent ones first, sometimes a question, sometimes none."""
    words = random.choices(
        WORDS, [1 / (n + 1) for n in range(len(WORDS))], k=random.randint(0, most)
    )
    return " ".join(words) + random.choice(["", "", " really?"])


def random_entries(random: Random, count: int, prefix: str = "m") -> list[LogEntry]:
    """Messages of four sessions and three speakers, some in two pieces, some without vectors."""
    entries = []
    for number in range(count):
        new = replace(
            message(f"{prefix}{number}", random_text(random), minute=random.randint(0, 5000)),
            session_id=f"s{random.randint(1, 4)}",
            speaker=random.choice([None, "Ann", "Ben"]),
        )
        source = random if random.random() < 0.9 else None
        entries.append(entry(new, source, pieces=random.choice([1, 1, 2])))
    return entries


def random_fact(random: Random, name: str) -> IndexedNode:
    """A note or insight, with or without event and validity."""
    node = fact(
        name,
        random_text(random),
        kind=random.choice(["observation", "note", "insight"]),
        minute=random.randint(0, 5000),
    )
    if random.random() < 0.5:
        begin = START + timedelta(minutes=random.randint(-5000, 5000))
        end = begin + timedelta(minutes=random.randint(1, 2000))
        sides = random.choice([(begin, end), (None, end), (begin, None)])
        node = node.with_(event=Event(Interval(*sides)))
    if random.random() < 0.4:
        node = node.with_(valid_from=node.said_at - timedelta(minutes=random.randint(0, 500)))
    if random.random() < 0.3:
        node = node.with_(valid_to=node.said_at + timedelta(minutes=random.randint(1, 500)))
    return indexed(node, random if random.random() < 0.9 else None, context=random_text(random))


def random_request(random: Random, *, queries: int = 2) -> SearchRequest:
    """A request with some filters."""
    begin = START + timedelta(minutes=random.randint(-1000, 4000))
    during = Interval(begin, begin + timedelta(minutes=random.randint(1, 2000)))
    return SearchRequest(
        queries=tuple(
            Query(
                f"q{number}",
                tuple(random.choices(WORDS, k=random.randint(0, 4))),
                vector(random) if random.random() < 0.8 else None,
            )
            for number in range(queries)
        ),
        kinds=frozenset(random.sample(KINDS, random.choice([1, 2, 4, 4]))),
        limit=random.choice([1, 3, 10, 100]),
        neighbours=random.choice([0, 1, 2]),
        as_of=random.choice([None, None, START + timedelta(minutes=random.randint(0, 5000))]),
        during=random.choice([None, None, during]),
        session_id=random.choice([None, None, "s1", "nowhere"]),
        # of those that random histories hold, and others
        messages=tuple(
            f"{random.choice(['m', 'r1-', 'r2-'])}{random.randrange(12)}"
            for _ in range(random.choice([0, 0, 1, 5]))
        ),
    )
