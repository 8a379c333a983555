"""The memory that can be asked, when it is one of gists: its life, its files, who retells."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.beacon.files.gist_files import read_gists, write_gists
from memoryscope_rag.beacon.gist import Gist
from memoryscope_rag.beacon.memory import BeaconMemory, MemoryOptions
from memoryscope_rag.beacon.options import FILE
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import BeaconMismatch, InvalidInput, ModelError, StoreCorrupt
from memoryscope_rag.ports import ChatMessage, Generator
from memoryscope_rag.schema import NewMessage
from memoryscope_rag.testing.fakes import ScriptedGenerator
from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.beacon.states import same
from tests.beacon.test_memory import RACE, finished, turns

WINDOW = 64
MORE = turns("Clara left for Lisbon.", "Otto sold his bakery.", "It rains.", first=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("random") / "random", context=4096))


def tells(asked: Sequence[ChatMessage]) -> str:
    """The beginning of the window, with which the prompt begins."""
    return asked[0].content.strip()[:40]


def teller() -> ScriptedGenerator:
    return ScriptedGenerator(repeat(tells))


async def opened(model: str, **running: Any) -> BeaconMemory:
    options = MemoryOptions(model=model, compressor="gist", window=WINDOW)
    return await BeaconMemory.open(options, threads=1, **running)


async def built(model: str, messages: Sequence[NewMessage]) -> MemoryState:
    async with await opened(model, generator=teller()) as memory:
        await memory.memorize(messages)
        return memory.state


def gist_files(folder: Path) -> set[Path]:
    return set(folder.glob("gist-*.json"))


def test_p16_a_memory_of_gists_says_what_it_is_made_of(model: str) -> None:
    told: list[tuple[int, int]] = []

    async def work() -> None:
        async with await opened(model, generator=teller()) as memory:
            text = "Otto hates trams. " * 40
            made = await memory.memorize(text, progress=lambda *at: told.append(at))
            raw = len(text.strip()) + 2  # a token a letter, and the line ends
            head = memory.state.spans[0].start
            assert (made.compressor, made.trained) == ("gist", True)
            assert (made.tokens, made.messages) == (head + raw, 1)
            assert made.blocks == raw // WINDOW
            assert made.rows == memory.state.row_count < made.tokens
            assert made.ratio == pytest.approx(made.tokens / made.rows)
            assert (told[0], told[-1]) == ((0, raw), (raw, raw))
            assert told == sorted(told)
            assert (await memory.memorize("It rains.")).blocks == 0  # and nothing else

    finished(work())


def test_p16_a_clue_leans_on_the_messages_of_its_windows(tmp_path: Path) -> None:
    folder = tiny_decoder(tmp_path / "taught", context=4096, says="Jack wins")
    replies = ["Porto.", "Jack wins.", "Trams.", "Rain."]

    async def work() -> None:
        async with await opened(str(folder), generator=ScriptedGenerator(replies)) as memory:
            made = await memory.memorize(RACE)
            assert 2 <= made.blocks <= len(replies)
            (clue,) = await memory.recall("Who is fast?")
            assert clue.blocks == (1,)
            assert "m1" in clue.provenance
            assert "m3" not in clue.provenance
            await memory.append("Jack wins again.", source="tail")
            (clue,) = await memory.recall("Who is fast?")
            assert "tail" in clue.provenance

    finished(work())


def test_p16_it_grows_forgets_and_goes_back(model: str) -> None:
    async def work() -> None:
        async with await opened(model, generator=teller()) as memory:
            await memory.memorize(RACE)
            made = await memory.append(MORE)
            every = [*RACE, *MORE]
            assert made.messages == len(every)
            assert same(memory.state, await built(model, every)) < 1e-5
            await memory.append(every)  # all of it is here
            assert (await memory.stats()).tokens == made.tokens
            await memory.forget(["m1", "m6"])
            left = [message for message in every if message.id not in ("m1", "m6")]
            expected = await built(model, left)
            assert same(memory.state, expected) < 1e-5
            assert memory.state.spans == expected.spans
            blocks = (await memory.stats()).blocks
            with pytest.raises(InvalidInput, match=f"0 to {blocks}"):
                await memory.rollback(blocks + 1)
            cut = await memory.rollback(blocks - 1)
            assert (cut.blocks, len(memory.state.spans)) == (blocks - 1, blocks - 1)
            assert (await memory.rollback(0)).tokens == 0
            await memory.append(left)
            assert same(memory.state, expected) < 1e-5
            await memory.forget([message.id for message in left])
            assert (await memory.stats()).messages == 0

    finished(work())


def test_p16_saved_and_loaded_it_goes_on(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with await opened(model, generator=teller()) as memory:
            await memory.memorize(RACE)
            await memory.save(tmp_path, encoding="fp32")
            first = gist_files(tmp_path)
            assert len(first) == (await memory.stats()).blocks
            kept = {path: path.stat().st_mtime_ns for path in first}
            await memory.append(MORE[:2])
            await memory.save(tmp_path, encoding="fp32")
            assert {path: path.stat().st_mtime_ns for path in first} == kept
            whole = await memory.stats()
        async with await BeaconMemory.load(tmp_path, threads=1, generator=teller()) as memory:
            again = await memory.stats()
            assert (again.tokens, again.blocks, again.messages) == (whole.tokens, whole.blocks, 6)
            await memory.append(MORE)
            assert same(memory.state, await built(model, [*RACE, *MORE])) < 1e-5
            await memory.forget(["m0"])
            await memory.save(tmp_path)
            assert not first & gist_files(tmp_path)  # the first window was of all that followed
            assert not [path for path in gist_files(tmp_path) if "Porto" in path.read_text("utf-8")]
            await memory.rollback(1)
            await memory.save(tmp_path)
            assert len(gist_files(tmp_path)) == 1

    finished(work())


def test_p16_a_save_that_was_cut_off_leaves_the_memory_of_before(
    model: str, tmp_path: Path
) -> None:
    async def work() -> None:
        async with await opened(model, generator=teller()) as memory:
            await memory.memorize(RACE)
            await memory.save(tmp_path)
            before = memory.state.token_ids().tolist()
        whole = gist_files(tmp_path)
        write_gists(tmp_path, [Gist("what no manifest names yet", ())])
        assert len(gist_files(tmp_path)) == len(whole) + 1
        async with await BeaconMemory.load(tmp_path, threads=1) as memory:
            assert memory.state.token_ids().tolist() == before
            assert len(read_gists(tmp_path, memory.state)) == len(whole)
            await memory.save(tmp_path)
        assert gist_files(tmp_path) == whole

    finished(work())


def test_p16_gists_of_another_memory_are_refused_by_name(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with await opened(model, generator=teller()) as memory:
            await memory.memorize(RACE)
            await memory.save(tmp_path)
        first, second, *_ = sorted(gist_files(tmp_path))
        held = first.read_bytes()
        for content in (held[:-1], second.read_bytes(), b"", None):
            if content is None:
                first.unlink()
            else:
                first.write_bytes(content)
            with pytest.raises(StoreCorrupt, match=first.name):
                await BeaconMemory.load(tmp_path, threads=1)
        first.write_bytes(held)
        tree = json.loads((tmp_path / FILE).read_text("utf-8"))
        for name, value in (("compressor", "full"), ("window", 128)):
            options = {**tree["options"], name: value}
            (tmp_path / FILE).write_text(json.dumps({**tree, "options": options}), "utf-8")
            with pytest.raises(BeaconMismatch):
                await BeaconMemory.load(tmp_path, threads=1)

    finished(work())


def test_p16_another_compressor_leaves_no_gists_behind(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with await opened(model, generator=teller()) as memory:
            await memory.memorize(RACE)
            await memory.save(tmp_path)
            assert gist_files(tmp_path)
        async with await BeaconMemory.open(MemoryOptions(model=model), threads=1) as memory:
            await memory.memorize(RACE)
            await memory.save(tmp_path)
            assert not gist_files(tmp_path)

    finished(work())


# ---------------------------------------------------------------- who retells


def test_a_generator_is_for_gists_and_stays_the_callers(model: str) -> None:
    generator = teller()

    async def work() -> None:
        with pytest.raises(InvalidInput, match="'gist'"):
            await BeaconMemory.open(MemoryOptions(model=model), generator=generator)
        async with await opened(model, generator=generator) as memory:
            made = await memory.memorize(RACE)
            assert generator.calls == made.blocks
            assert {one.max_tokens for one in generator.samplings} == {32}
            await memory.answer("Who?")
        assert generator.calls == made.blocks
        assert not generator.closed

    finished(work())


def test_what_was_not_retold_changes_nothing(model: str) -> None:
    failing = ScriptedGenerator([tells, tells, tells, tells, ModelError("down")])

    async def work() -> None:
        async with await opened(model, generator=failing) as memory:
            made = await memory.memorize(RACE[:2])
            before = memory.state
            with pytest.raises(ModelError, match="down"):
                await memory.append([*RACE[2:], *MORE, *turns("It rains. " * 30, first=9)])
            assert memory.state is before
            assert await memory.stats() == made

    finished(work())


@pytest.mark.parametrize("own", [True, False], ids=["own model", "generator"])
def test_giving_up_ends_the_retelling(own: bool, model: str) -> None:
    reading = threading.Event()
    generator: Generator | None = None if own else ScriptedGenerator(["late"], delay=3600)

    async def work() -> None:
        async with await opened(model, generator=generator) as memory:
            task = asyncio.ensure_future(
                memory.memorize("Otto hates trams. " * 900, progress=lambda *at: reading.set())
            )
            while not reading.is_set():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await memory.stats()).tokens == 0

    finished(work())
