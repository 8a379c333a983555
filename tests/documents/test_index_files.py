"""Saving and loading: the same index, or a reason; never half of one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.documents.index_files import MANIFEST
from memoryscope_rag.documents.vectors import IndexKind, IndexOptions, Metric
from memoryscope_rag.errors import (
    EmbeddingMismatch,
    InvalidInput,
    SchemaTooNew,
    StoreCorrupt,
    StoreUnavailable,
)
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.documents.samples import CHINESE, ENGLISH

ROOT = Path(__file__).parents[2]
QUERIES = ["Where is the key?", "蘑菇能不能吃？"]


def saved(folder: Path, text: str = ENGLISH, **options: Any) -> DenseIndex:
    async def make() -> DenseIndex:
        chosen = IndexOptions(**{"tokens": 60, **options})
        index = DenseIndex(HashEmbedder(), chosen, device="cpu")
        await index.add(text, source="guide.txt")
        await index.save(folder)
        return index

    return asyncio.run(make())


def loaded(folder: Path, embedder: HashEmbedder | None = None) -> DenseIndex:
    return asyncio.run(DenseIndex.load(folder, embedder or HashEmbedder(), device="cpu"))


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The folder, its manifest changed."""
    path = folder / MANIFEST
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value), "utf-8")
    return folder


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
@pytest.mark.parametrize("metric", ["cos", "l2"])
def test_p18_round_trip(kind: IndexKind, metric: Metric, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "索引"
    index = saved(folder, ENGLISH + CHINESE, kind=kind, metric=metric, storage="fp16", overlap=20)
    again = loaded(folder)
    assert again.options == index.options
    assert again.chunks == index.chunks
    for hits in (1, 3, 50):
        assert asyncio.run(again.search(QUERIES, hits)) == asyncio.run(index.search(QUERIES, hits))
    for one in (index, again):
        asyncio.run(one.add("The attic smells of apples.\u2028\u0085 Always.", source="b\nc"))
    assert again.chunks == index.chunks
    asyncio.run(again.save(folder))
    assert loaded(folder).chunks == index.chunks


def test_an_empty_index_can_be_saved(tmp_path: Path) -> None:
    saved(tmp_path, " ")
    again = loaded(tmp_path)
    assert asyncio.run(again.search(QUERIES)) == [[], []]
    asyncio.run(again.add(ENGLISH))
    assert len(again) > 5


def test_saving_again_leaves_no_older_files_and_touches_no_others(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("of somebody else")
    (tmp_path / ".vectors-0123.faiss.new").write_text("what a crash left")
    saved(tmp_path, ENGLISH)
    saved(tmp_path, CHINESE)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4
    assert [name.partition("-")[0] for name in names] == [
        "chunks",
        MANIFEST,
        "manifest.json",
        "vectors",
    ]
    assert loaded(tmp_path).chunks[0].text.startswith("港湾小屋")


def test_another_embedder_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path)
    for other in (HashEmbedder(name="other"), HashEmbedder(32)):
        with pytest.raises(EmbeddingMismatch, match=rf"hash \(hash-64\), not of {other.spec.name}"):
            loaded(tmp_path, other)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(SchemaTooNew, match="version 2, this package reads 1"):
        loaded(changed(tmp_path, lambda value: value.update(version=2, colour="red")))


def test_where_no_index_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"holds no dense index: no {MANIFEST}"):
        loaded(tmp_path / "nowhere")


@pytest.mark.parametrize("pattern", ["vectors-*", "chunks-*"])
def test_damage_is_named(pattern: str, tmp_path: Path) -> None:
    random = Random(1)
    saved(tmp_path)
    (path,) = tmp_path.glob(pattern)
    whole = path.read_bytes()
    for _ in range(20):
        at = random.randrange(len(whole))
        path.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :]
        )
        with pytest.raises(StoreCorrupt, match=path.name):
            loaded(tmp_path)
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreCorrupt, match=path.name):
        loaded(tmp_path)
    path.unlink()
    with pytest.raises(StoreCorrupt, match=f"{path.name} cannot be read: No such file"):
        loaded(tmp_path)


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("is not that of a dense index", lambda value: value.update(format="a beacon memory")),
    ("damaged: version", lambda value: value.update(version="one")),
    ("damaged: colour", lambda value: value.update(colour="red")),
    ("damaged: options.kind", lambda value: value["options"].update(kind="tree")),
    ("damaged: vectors", lambda value: value.update(vectors="../../etc/passwd")),
    ("damaged: embedder.dimension", lambda value: value["embedder"].update(dimension=0)),
    ("lacks some of 99 chunks", lambda value: value.update(count=99)),
    ("not those of IndexOptions", lambda value: value["options"].update(metric="l2")),
]


@pytest.mark.parametrize(("reason", "change"), CHANGES)
def test_a_forged_manifest_is_refused(
    reason: str, change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    saved(tmp_path)
    with pytest.raises(StoreCorrupt, match=reason):
        loaded(changed(tmp_path, change))


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    for data, reason in ((b"{", "is no JSON"), (b"[]", "is not that"), (b"\xff", "cannot be read")):
        (tmp_path / MANIFEST).write_bytes(data)
        with pytest.raises(StoreCorrupt, match=reason):
            loaded(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="cannot write the index"):
        saved(tmp_path / "file")


WRITER = """
import asyncio, sys
from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.documents.vectors import IndexOptions
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.documents.samples import CHINESE, ENGLISH

async def main():
    indexes = []
    for text in (ENGLISH, CHINESE):
        index = DenseIndex(HashEmbedder(), IndexOptions(tokens=60), device="cpu")
        await index.add(text)
        indexes.append(index)
    await indexes[0].save(sys.argv[1])
    print("ready", flush=True)
    while True:
        for index in indexes:
            await index.save(sys.argv[1])

asyncio.run(main())
"""


def test_b24_a_killed_writer_leaves_an_index(tmp_path: Path) -> None:
    random = Random(1)
    for number in range(5):
        folder = tmp_path / str(number)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        assert writer.stdout is not None
        with writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(random.random() * 0.05)
            os.kill(writer.pid, signal.SIGKILL)
        assert loaded(folder).chunks[0].text.startswith(("# Harbour House", "港湾小屋"))
        shutil.rmtree(folder)
