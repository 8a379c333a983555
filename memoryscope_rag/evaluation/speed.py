"""How fast this is on this machine: retrieval, recording, opening, sizes.

Histories are made up (:mod:`.synthetic`); their vectors are random and handed to the store as they
are, retrieval is the application's own, with the floor off so that every call packs a full answer.
Milliseconds unless a name says otherwise; ``name@N`` is at N nodes in the scope.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.model import Config
from memoryscope_rag.evaluation.beside_work import (
    PROCESSES,
    beside_consolidation,
    beside_refresh,
    in_process,
)
from memoryscope_rag.evaluation.deadline import hanging
from memoryscope_rag.evaluation.places import Place, temporary
from memoryscope_rag.evaluation.synthetic import START, RandomEmbedder, Texts, entries
from memoryscope_rag.ports import Embedder, EmbedderSpec, MemoryStore
from memoryscope_rag.schema import NewMessage, Scope

SIZES = (1_000, 10_000, 38_000, 100_000)
ROWS = 1_000_000
SMALL = 1_000
"""Nodes of each scope in the store of many scopes."""
QUERIES = 100
MESSAGES = 4096
CONSOLIDATIONS = 100
"""Scopes of ten messages each."""
NO_MODEL = EmbedderSpec("random", 384, "random-384", 512)

Say = Callable[[str], None]
Metrics = dict[str, float]


async def measure(
    embedder: Embedder | None,
    *,
    sizes: Sequence[int] = SIZES,
    rows: int = ROWS,
    queries: int = QUERIES,
    messages: int = MESSAGES,
    consolidations: int = CONSOLIDATIONS,
    deadlines: int = QUERIES,
    settings: Config | None = None,
    seed: int = 0,
    config: Config | None = None,
    say: Say = lambda text: None,
) -> Metrics:
    """All measurements. Stores are made for them and removed.

    Args:
        embedder: what embeds queries and messages; without one those figures are missing.
        sizes: nodes of the scopes that retrieval is measured in.
        rows: nodes of the store of many scopes; 0 leaves it out.
        queries: how many retrievals each percentile is taken over, at least 20.
        consolidations: how many scopes are consolidated while others retrieve; 0 leaves it out.
        deadlines: how many retrievals with a memory that hangs, a budget; 0 leaves them out.
        settings: those that ``embedder`` is of; a beacon memory that they name is refreshed while
            others retrieve. Without them nothing is done beside retrieval.
        messages: how many are recorded in batches without embedding; an eighth of them with.
        config: settings whose database is measured; SQLite without them.
        say: is told what is being done.
    """
    result: Metrics = {"import_ms": import_milliseconds("import memoryscope_rag")}
    result["import_all_ms"] = import_milliseconds("from memoryscope_rag import MemoryScope")
    async with temporary(config) as place:
        for size in sizes:
            say(f"{size} nodes in one scope")
            result |= await _one_scope(place, embedder, size, queries, seed)
        say("recording")
        result |= await _adds(place, embedder, queries, messages, seed)
        if settings is not None:
            result |= await _beside_work(
                place, embedder, settings, consolidations, queries, seed, say
            )
        if deadlines:
            say("deadlines while a beacon memory hangs")
            result |= await _deadlines(place, embedder, deadlines, seed)
        if rows >= SMALL:
            say(f"{rows} nodes in {rows // SMALL} scopes")
            result |= await _many_scopes(place, embedder, rows, queries, seed)
    return {name: round(value, 3) for name, value in result.items()}


def import_milliseconds(statement: str, times: int = 5) -> float:
    """The median time of an import statement in a fresh interpreter, without its own start."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    runs = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(times)
    ]
    return 1000 * sorted(runs)[times // 2]


def percentiles(name: str, at: str, seconds: Sequence[float]) -> Metrics:
    """``name_p50_ms@at`` and so on."""
    return {
        f"{name}_p{share}_ms{at}": 1000 * float(np.percentile(seconds, share))
        for share in (50, 95, 99)
    }


def _spec(embedder: Embedder | None) -> EmbedderSpec:
    return NO_MODEL if embedder is None else embedder.spec


async def _fill(
    store: MemoryStore, scope: Scope, count: int, dimension: int, seed: int, *, analyse: bool = True
) -> float:
    """Seconds that the store took for ``count`` messages; making them up is not counted."""
    spent = 0.0
    for batch in entries(count, dimension, seed=seed, analyse=analyse):
        started = time.perf_counter()
        await store.append(scope, batch)
        spent += time.perf_counter() - started
    return spent


async def _retrievals(
    store: MemoryStore, embedder: Embedder, scopes: Sequence[Scope], queries: int, seed: int
) -> list[float]:
    """Seconds of each of ``queries`` retrievals; no two queries are alike."""
    memory = AsyncMemoryScope(Config(), store, embedder)
    texts = Texts(seed).take(queries, shortest=4, longest=10)
    seconds = []
    for index, text in enumerate(texts):
        started = time.perf_counter()
        await memory.retrieve(text, scope=scopes[index % len(scopes)], floor=False)
        seconds.append(time.perf_counter() - started)
    return seconds


async def _one_scope(
    place: Place, embedder: Embedder | None, size: int, queries: int, seed: int
) -> Metrics:
    spec, scope, at = _spec(embedder), Scope("ann"), f"@{size}"
    free = RandomEmbedder(spec, seed)
    store = await place.open(str(size), spec)
    try:
        spent = await _fill(store, scope, size, spec.dimension, seed)
        await _retrievals(store, free, [scope], 5, seed + 7)
        noembed = await _retrievals(store, free, [scope], queries, seed + 8)
        result = percentiles("retrieve_noembed", at, noembed)
        if embedder is not None:
            await _retrievals(store, embedder, [scope], 5, seed + 9)
            real = await _retrievals(store, embedder, [scope], queries, seed + 10)
            result |= percentiles("retrieve", at, real)
        result |= await _after_write(store, free, scope, size, seed)
        result[f"bytes_per_message{at}"] = (await store.stats()).bytes / size
    finally:
        await store.close()
    result[f"append_per_s{at}"] = size / spent
    opened = time.perf_counter()
    store = await place.open(str(size), spec)
    try:
        result[f"open_ms{at}"] = 1000 * (time.perf_counter() - opened)
        await _retrievals(store, free, [scope], 1, seed + 11)
        result[f"cold_open_ms{at}"] = 1000 * (time.perf_counter() - opened)
    finally:
        await store.close()
    return result


async def _after_write(
    store: MemoryStore, free: Embedder, scope: Scope, size: int, seed: int, times: int = 20
) -> Metrics:
    """Recording one message and retrieving right after it, as a conversation does."""
    memory = AsyncMemoryScope(Config(), store, free)
    adds, finds = [], []
    for index, text in enumerate(Texts(seed + 12).take(2 * times)):
        started = time.perf_counter()
        if index % 2 == 0:
            await memory.record(text, scope=scope, session_id="live", message_id=f"live{index}")
            adds.append(time.perf_counter() - started)
        else:
            await memory.retrieve(text, scope=scope, floor=False)
            finds.append(time.perf_counter() - started)
    return {
        f"add_p95_ms@{size}": 1000 * float(np.percentile(adds, 95)),
        f"retrieve_after_add_p95_ms@{size}": 1000 * float(np.percentile(finds, 95)),
    }


async def _beside_work(
    place: Place,
    embedder: Embedder | None,
    settings: Config,
    consolidations: int,
    queries: int,
    seed: int,
    say: Say,
) -> Metrics:
    """Retrieval in one scope while the backend works in others, in this process and in its own."""
    ann, result = Scope("ann"), Metrics()
    for process in PROCESSES:
        store = await place.open(process, _spec(embedder))
        try:
            await _fill(store, ann, SMALL, _spec(embedder).dimension, seed)
        finally:
            await store.close()
        plain = in_process(
            Config(store=place.settings(process), embedder=settings.embedder), process
        )
        if consolidations:
            say(f"retrieval beside {consolidations} consolidations, process: {process}")
            result |= await beside_consolidation(plain, ann, consolidations, queries, seed)
        if settings.memory.model is not None:
            say(f"retrieval beside the refresh of a beacon memory, process: {process}")
            reading = plain.model_copy(update={"memory": settings.memory})
            result |= await beside_refresh(reading, ann, queries, seed)
    return result


async def _deadlines(place: Place, embedder: Embedder | None, times: int, seed: int) -> Metrics:
    """How long a retrieval takes whose beacon memory hangs, by its budget."""
    spec, ann = _spec(embedder), Scope("ann")
    store = await place.open("deadlines", spec)
    try:
        await _fill(store, ann, SMALL, spec.dimension, seed)
        used = embedder or RandomEmbedder(spec, seed)
        read = await store.last_messages(ann, SMALL)
        return await hanging(store, used, ann, read, times, seed)
    finally:
        await store.close()


async def _adds(
    place: Place, embedder: Embedder | None, singles: int, messages: int, seed: int
) -> Metrics:
    free = RandomEmbedder(_spec(embedder), seed)
    store = await place.open("adds", _spec(embedder))
    try:
        memory = AsyncMemoryScope(Config(), store, free)
        result = await _adds_with(memory, "", seed, singles, messages)
        if embedder is not None:
            memory = AsyncMemoryScope(Config(), store, embedder)
            result |= await _adds_with(memory, "_embed", seed + 1, singles, messages // 8)
        stats = await store.stats()
    finally:
        await store.close()
    result["bytes_per_message"] = stats.bytes / stats.messages
    return result


async def _adds_with(
    memory: AsyncMemoryScope, suffix: str, seed: int, one_by_one: int, count: int
) -> Metrics:
    """``one_by_one`` messages each alone, and ``count`` in batches of 64."""
    singles = []
    for index, text in enumerate(Texts(seed).take(one_by_one)):
        started = time.perf_counter()
        await memory.record(text, scope=f"single{suffix}", session_id=f"s{index // 20}")
        singles.append(time.perf_counter() - started)
    messages = [
        NewMessage(f"m{index}", f"s{index // 20}", "user", text, START)
        for index, text in enumerate(Texts(seed + 1).take(count))
    ]
    started = time.perf_counter()
    for first in range(0, count, 64):
        await memory.record_many(messages[first : first + 64], scope=f"batch{suffix}")
    rate = count / (time.perf_counter() - started)
    return {
        **percentiles(f"add_single{suffix}", "", singles),
        f"add_batch{suffix}_per_s": rate,
    }


async def _many_scopes(
    place: Place, embedder: Embedder | None, rows: int, queries: int, seed: int
) -> Metrics:
    spec = _spec(embedder)
    free = RandomEmbedder(spec, seed)
    scopes = [Scope(f"user{index}") for index in range(rows // SMALL)]
    at = f"@{SMALL}of{len(scopes) * SMALL}"
    store = await place.open("many", spec)
    try:
        spent = 0.0
        for index, scope in enumerate(scopes):
            spent += await _fill(store, scope, SMALL, spec.dimension, seed + index, analyse=False)
        step = max(1, len(scopes) // queries)
        chosen = scopes[::step][:queries]
        cold = await _retrievals(store, free, chosen, len(chosen), seed + 1)
        warm = await _retrievals(store, free, chosen, queries, seed + 2)
        result = percentiles("retrieve_first_noembed", at, cold)
        result |= percentiles("retrieve_noembed", at, warm)
        if embedder is not None:
            real = await _retrievals(store, embedder, chosen, queries, seed + 3)
            result |= percentiles("retrieve", at, real)
        result[f"bytes_per_message{at}"] = (await store.stats()).bytes / (len(scopes) * SMALL)
    finally:
        await store.close()
    result[f"append_per_s{at}"] = len(scopes) * SMALL / spent
    opened = time.perf_counter()
    store = await place.open("many", spec)
    result[f"open_ms{at}"] = 1000 * (time.perf_counter() - opened)
    await store.close()
    return result
