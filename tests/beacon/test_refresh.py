"""The application keeps the beacon memory of every scope fresh, by itself and when asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from memoryscope_rag import AsyncMemoryScope, MemoryScope, NewMessage, Scope, load_config
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import MissingExtra, ModelError, StoreUnavailable
from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Clue, Message
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedMemory
from tests.operations.refreshing import ANN, BEN, START, covered, turns

NEVER = 1e9


def settings(**schedule: float) -> Config:
    """A schedule that does nothing but what ``schedule`` names."""
    never = {
        "after_messages": 10**9,
        "after_idle_s": NEVER,
        "consolidate_every_s": NEVER,
        "refresh_after_tokens": 10**9,
        "refresh_every_s": NEVER,
        "tick_s": 0.01,
        "backoff_s": 0.05,
        "close_s": 0.0,
    }
    return load_config(overrides={"schedule": {**never, **schedule}})


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it, ten seconds at most."""
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.005)


def with_app(
    path: Path,
    memory: ScriptedMemory,
    check: Callable[[AsyncMemoryScope], Awaitable[None]],
    config: Config | None = None,
) -> None:
    """Run ``check`` with an application over ``path`` that has this beacon memory."""

    async def main() -> None:
        config_ = config or settings()
        async with await AsyncMemoryScope.open(
            path, config=config_, embedder=HashEmbedder(), memory=memory
        ) as app:
            await check(app)

    asyncio.run(main())


async def covers(memory: ScriptedMemory, count: int, scope: Scope = ANN) -> bool:
    return len(await covered(memory, scope)) == count


# ---------------------------------------------------------------- what makes it follow the log


@pytest.mark.parametrize(
    "trigger", [{"refresh_after_tokens": 20}, {"refresh_every_s": 0.1}], ids=["tokens", "age"]
)
def test_n10_n21_the_schedule_refreshes(tmp_path: Path, trigger: dict[str, float]) -> None:
    memory = ScriptedMemory()

    async def check(app: AsyncMemoryScope) -> None:
        await app.record_many(turns(10), scope=ANN)
        assert await covered(memory) == []
        await app.start()
        await until(lambda: covers(memory, 10))
        await app.record_many(turns(10, first=10), scope=ANN)
        await until(lambda: covers(memory, 20))
        writes = memory.calls["write"]
        await asyncio.sleep(0.3)
        assert memory.calls["write"] == writes  # nothing new, nothing done

    with_app(tmp_path / "m.db", memory, check, settings(**trigger))


def test_n10_what_others_left_is_found_at_the_start(tmp_path: Path) -> None:
    memory = ScriptedMemory()
    with MemoryScope.open(tmp_path / "m.db", embedder=HashEmbedder()) as app:
        for scope in (ANN, BEN, Scope("cat")):
            app.record_many(turns(5), scope=scope)
        memory.cover(Scope("cat"), app.messages(scope="cat"))

    async def check(app: AsyncMemoryScope) -> None:
        await app.start()
        await until(lambda: covers(memory, 5))
        await until(lambda: covers(memory, 5, BEN))
        assert {scope for scope, _, _ in memory.written} == {ANN, BEN}

    with_app(tmp_path / "m.db", memory, check)


@pytest.mark.parametrize("what", ["message", "session", "everything"])
def test_n10_n11_forgetting_takes_it_out_at_once_and_reads_the_rest_again(
    tmp_path: Path, what: str
) -> None:
    memory = ScriptedMemory()

    async def check(app: AsyncMemoryScope) -> None:
        for scope in (ANN, BEN):
            await app.record_many(turns(30), scope=scope)
            await app.refresh(scope=scope)
        other = await app.coverage(scope=BEN)
        await app.start()
        forgotten = await app.forget(
            scope=ANN,
            message_ids=["m12"] if what == "message" else (),
            session_id="s1" if what == "session" else None,
            everything=what == "everything",
        )
        assert forgotten.proven
        kept = 0 if what == "everything" else 12 if what == "message" else 10
        assert await covered(memory) == [f"m{number}" for number in range(kept)]
        left = len(await app.messages(scope=ANN))
        assert left == {"message": 29, "session": 20, "everything": 0}[what]
        await until(lambda: covers(memory, left))
        assert await app.coverage(scope=BEN) == other

    with_app(tmp_path / "m.db", memory, check)


def test_n10_an_import_is_read(tmp_path: Path) -> None:
    with MemoryScope.open(tmp_path / "a.db", embedder=HashEmbedder()) as app:
        app.record_many(turns(5), scope=ANN)
        lines = list(app.export(scope=ANN))
    memory = ScriptedMemory()

    async def check(app: AsyncMemoryScope) -> None:
        await app.start()
        await app.import_(lines, scope=ANN)
        await until(lambda: covers(memory, 5))

    with_app(tmp_path / "b.db", memory, check)


def test_n21_one_refresh_of_a_scope_at_a_time(tmp_path: Path) -> None:
    memory = ScriptedMemory(delay=0.05)

    async def check(app: AsyncMemoryScope) -> None:
        await app.start()
        for first in range(0, 60, 5):
            await app.record_many(turns(5, first=first), scope=ANN)
            await app.refresh(scope=ANN)
        await until(lambda: covers(memory, 60))
        read = [name for _, _, names in memory.written for name in names]
        assert read == [f"m{number}" for number in range(60)]  # each once, in order

    with_app(tmp_path / "m.db", memory, check, settings(refresh_after_tokens=1))


def test_n21_a_failing_model_is_asked_again_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = ScriptedMemory(failure=ModelError("out of memory"))

    async def check(app: AsyncMemoryScope) -> None:
        await app.start()
        await app.record_many(turns(5), scope=ANN)
        await until(lambda: _true(memory.calls["write"] >= 2))
        assert (await app.retrieve("message number 3", scope=ANN, floor=False)).items
        memory.failure = None
        await until(lambda: covers(memory, 5))

    with caplog.at_level(logging.WARNING):
        with_app(tmp_path / "m.db", memory, check, settings(refresh_after_tokens=1))
    assert "a beacon memory was not refreshed: ModelError: out of memory" in caplog.text


async def _true(value: bool) -> bool:
    return value


# ---------------------------------------------------------------- forgetting


def test_n11_forgetting_ends_a_refresh_that_is_reading_it(tmp_path: Path) -> None:
    memory = ScriptedMemory(delay=0.3)

    async def check(app: AsyncMemoryScope) -> None:
        await app.record_many(turns(5), scope=ANN)
        running = asyncio.create_task(app.refresh(scope=ANN))
        await until(lambda: _true(memory.calls["write"] == 1))
        await app.forget(scope=ANN, message_ids=["m2"])
        assert await covered(memory) == []
        assert (await running).covered == 4
        assert "m2" not in await covered(memory)

    with_app(tmp_path / "m.db", memory, check)


class Locked(ScriptedMemory):
    """A memory whose files another process holds."""

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        if not messages:
            raise StoreUnavailable("another writer did not finish in time")
        return await super().write(scope, messages, keep=keep)


def test_n11_what_could_not_be_removed_is_not_proven(tmp_path: Path) -> None:
    async def check(app: AsyncMemoryScope) -> None:
        await app.record_many(turns(5), scope=ANN)
        await app.refresh(scope=ANN)
        forgotten = await app.forget(scope=ANN, message_ids=["m2"])
        assert (forgotten.messages, forgotten.proven) == (1, False)

    with_app(tmp_path / "m.db", Locked(), check)


def test_n11_no_clue_and_no_cache_knows_what_was_forgotten(tmp_path: Path) -> None:
    canary = Clue("the canary sings at dawn", "span", provenance=("m2",))
    memory = ScriptedMemory(clues={ANN: [canary]}, attention={ANN: {"m2": 9.0, "m1": 1.0}})

    async def check(app: AsyncMemoryScope) -> None:
        reading = app._memory
        assert reading is not None
        await app.record_many(turns(5), scope=ANN)
        await app.refresh(scope=ANN)
        assert await reading.clues(ANN, "What sings?", ["span"]) == (canary,)
        await app.forget(scope=ANN, message_ids=["m2"])
        assert not reading._answers
        memory.scripted_clues[ANN] = []
        assert await reading.clues(ANN, "What sings?", ["span"]) == ()

    with_app(tmp_path / "m.db", memory, check)


# ---------------------------------------------------------------- what can be seen


def test_n22_lag_tokens_and_answers_are_counted(tmp_path: Path) -> None:
    memory = ScriptedMemory(attention={ANN: {"m1": 1.0}})

    async def check(app: AsyncMemoryScope) -> None:
        await app.record_many(turns(10), scope=ANN)
        await app.refresh(scope=ANN)
        await app.record_many(turns(3, first=10), scope=ANN)
        await app.record_many(turns(4), scope=BEN)
        assert app._memory is not None
        for _ in range(3):
            await app._memory.attention(ANN, "Who?")
        ann = (await app.stats(scope=ANN)).memory
        assert ann is not None
        coverage = await app.coverage(scope=ANN)
        assert (ann.model, ann.covered, ann.lag) == ("scripted", 10, 3)
        assert (ann.tokens, ann.rows, ann.bytes) == (
            coverage.tokens,
            coverage.rows,
            coverage.bytes,
        )
        assert (ann.asked, ann.cached, ann.refused) == (3, 2, 0)
        whole = (await app.stats()).memory
        assert whole is not None
        assert (whole.covered, whole.lag) == (10, 7)

    with_app(tmp_path / "m.db", memory, check)


# ---------------------------------------------------------------- opening and closing


def test_closing_reads_what_is_left_only_if_it_worked_in_the_background(tmp_path: Path) -> None:
    for started in (False, True):
        memory = ScriptedMemory()

        async def check(app: AsyncMemoryScope, started: bool = started) -> None:
            if started:
                await app.start()
            await app.record_many(turns(5), scope=ANN)

        with_app(tmp_path / f"{started}.db", memory, check, settings(close_s=5.0))
        assert len(memory.written) == int(started)
        assert memory.closed


def test_the_packages_of_the_memory_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from memoryscope_rag.models import torch_runtime

    def missing(what: str) -> None:
        raise MissingExtra("transformers", what)

    monkeypatch.setattr(torch_runtime, "require_transformers", missing)
    config = load_config(overrides={"memory": {"model": "smollm2-135m-instruct"}})
    with MemoryScope.open(tmp_path / "m.db", config=config, embedder=HashEmbedder()) as app:
        assert caplog.text.count("needs the extra 'transformers'") == 1
        app.record_many([NewMessage("m0", "s0", "user", "I moved to Lisbon", START)], scope="ann")
        app.start()
        assert app.retrieve("Lisbon", scope="ann", floor=False).items
        assert app.coverage(scope="ann") == Coverage()
        assert app.stats().memory is None
        app.forget(scope="ann", everything=True)
        with pytest.raises(MissingExtra, match="transformers"):
            app.refresh(scope="ann")
    assert caplog.text.count("needs the extra 'transformers'") == 1
