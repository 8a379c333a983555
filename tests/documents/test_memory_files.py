"""A memory of documents is saved and comes back whole, also after a crash."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.beacon.memory import BeaconMemory
from memoryscope_rag.documents.memory import DocumentMemory
from memoryscope_rag.errors import (
    EmbeddingMismatch,
    InvalidInput,
    SchemaTooNew,
    StoreCorrupt,
    StoreUnavailable,
)
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator
from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.documents.remembered import TEXT, loaded, opened, options

QUERIES = ["Where does Clara live?", "Who hates trams?"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("random") / "random", context=4096))


async def told(memory: DocumentMemory) -> list[Any]:
    answers = await memory.ask_many(QUERIES, max_tokens=9)
    return [(one.text, one.clues, one.evidence, one.left_out) for one in answers]


@pytest.mark.parametrize("compressor", ["select", "full", "gist", "beacon"])
def test_p17_what_is_loaded_answers_as_what_was_saved(
    model: str, tmp_path: Path, compressor: str
) -> None:
    made = options(model, compressor=compressor, evidence="union", hits=2, budget_tokens=99)

    async def work() -> None:
        async with await opened(model, made=made) as memory:
            await memory.memorize(TEXT, source="tale")
            stats = await memory.save(tmp_path / "saved", encoding="fp32")
            before = await told(memory)
        async with await loaded(tmp_path / "saved") as memory:
            assert await told(memory) == before
            again = await memory.stats()
            assert (again.sources, again.chunks, again.memory.tokens) == (
                stats.sources,
                stats.chunks,
                stats.memory.tokens,
            )
            await memory.append("Tea is cold.", source="more")
            await memory.save(tmp_path / "saved", encoding="fp32")
            longer = await told(memory)
        async with await loaded(tmp_path / "saved") as memory:
            assert await told(memory) == longer
            assert (await memory.stats()).sources == ("tale", "more")
        assert len(list((tmp_path / "saved").glob("index-*"))) == 1
        async with await BeaconMemory.load(tmp_path / "saved", threads=1) as alone:
            assert (await alone.stats()).messages == 2

    asyncio.run(work())


def test_an_embedder_of_another_kind_is_refused_by_name(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with await opened(model) as memory:
            await memory.memorize(TEXT)
            await memory.save(tmp_path)
        with pytest.raises(EmbeddingMismatch, match=r"of hash .*not of other"):
            await loaded(tmp_path, embedder=HashEmbedder(name="other"))

    asyncio.run(work())


def test_a_crash_between_index_and_memory_leaves_what_was_there(model: str, tmp_path: Path) -> None:
    saved, stopped = tmp_path / "saved", tmp_path / "stopped"

    async def work() -> None:
        async with await opened(model) as memory:
            await memory.memorize(TEXT, source="tale")
            await memory.save(saved, encoding="fp32")
            before = await told(memory)
            shutil.copytree(saved, stopped)
            await memory.append("Tea is cold.", source="more")
            await memory.save(saved, encoding="fp32")
            after = await told(memory)
        # the new index is there, and the memory is not yet
        (new,) = saved.glob("index-*")
        shutil.copytree(new, stopped / new.name)
        async with await loaded(stopped) as memory:
            assert await told(memory) == before
            await memory.append("Tea is cold.", source="more")
            await memory.save(stopped, encoding="fp32")
            assert await told(memory) == after
        # the new memory is there, and the old index is still
        old = tmp_path / "old"
        shutil.copytree(saved, old)
        shutil.copytree(new, old / "index-0123456789abcdef")
        async with await loaded(old) as memory:
            assert await told(memory) == after

    asyncio.run(work())


def test_a_memory_alone_and_damage_are_told_apart(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with await opened(model) as memory:
            await memory.memorize(TEXT)
            await memory.save(tmp_path)
        (index,) = tmp_path.glob("index-*")
        about = index / "documents.json"
        whole = about.read_text("utf-8")
        about.write_text(whole.replace('"version": 1', '"version": 9'), "utf-8")
        with pytest.raises(SchemaTooNew, match="version 9"):
            await loaded(tmp_path)
        about.write_text("{", "utf-8")
        with pytest.raises(StoreCorrupt, match="damaged"):
            await loaded(tmp_path)
        shutil.rmtree(index)
        with pytest.raises(StoreUnavailable, match="no index"):
            await loaded(tmp_path)
        with pytest.raises(StoreUnavailable, match="memorize"):
            await loaded(tmp_path / "nowhere")

    asyncio.run(work())


def test_memories_of_two_kinds_do_not_share_a_folder(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with await opened(model) as memory:
            await memory.memorize(TEXT)
            await memory.save(tmp_path)
        (tmp_path / "gist_texts.json").write_text("{}", "utf-8")
        with pytest.raises(StoreCorrupt, match="damaged"):
            await loaded(tmp_path, generator=ScriptedGenerator([]))
        async with await opened(model) as memory:
            await memory.memorize(TEXT)
            with pytest.raises(InvalidInput, match="another kind"):
                await memory.save(tmp_path)

    asyncio.run(work())


def test_a_failure_leaves_memory_and_index_together(model: str, tmp_path: Path) -> None:
    async def work() -> None:
        embedder = HashEmbedder()
        async with await opened(model, embedder=embedder) as memory:
            await memory.memorize(TEXT, source="tale")
            before = await told(memory)
            embedder.failure = OSError("away")
            with pytest.raises(OSError, match="away"):
                await memory.append("Tea is cold.", source="more")
            embedder.failure = None
            with pytest.raises(InvalidInput, match="already"):
                await memory.append("Tea is cold.", source="tale")
            assert await told(memory) == before
            stats = await memory.stats()
            assert (stats.chunks, stats.memory.messages) == (4, 1)
            (tmp_path / "a.txt").write_text("Tea is cold.", "utf-8")
            with pytest.raises(InvalidInput, match="twice"):
                await memory.append([tmp_path / "a.txt", tmp_path / "a.txt"])
            with pytest.raises(InvalidInput, match="none"):
                await memory.memorize([])

    asyncio.run(work())
