"""Reranking with a tiny random BERT."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.cross_encoder import BATCH
from memoryscope_rag.models.local import CrossEncoder
from memoryscope_rag.models.tokenizer import bert_uncased
from memoryscope_rag.models.torch_runtime import quietly
from memoryscope_rag.ports import FloatArray, Reranker
from memoryscope_rag.testing.tiny_model import randomise, tiny_decoder

POSITIONS = 64


def tiny_bert(folder: Path, labels: int = 1) -> Path:
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=bert_uncased(),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    bert: Any = BertConfig
    config = bert(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        num_labels=labels,
    )
    with torch.random.fork_rng(devices=[]):
        model = BertForSequenceClassification(config)
    randomise(model, 0)
    with quietly():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture(scope="module")
def reranker(bert: Path) -> Iterator[CrossEncoder]:
    opened = CrossEncoder.load(bert, threads=1)
    yield opened
    opened.close()


def scores(reranker: CrossEncoder, query: str, texts: list[str]) -> FloatArray:
    return asyncio.run(reranker.rerank(query, texts))


def plainly(folder: Path, query: str, text: str) -> float:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    with torch.no_grad():
        logits = model(**tokenizer(query, text, return_tensors="pt")).logits[0]
    return float(logits[-1] - logits[0]) if len(logits) == 2 else float(logits[0])


def test_scores_are_those_of_the_model_one_by_one(bert: Path, reranker: CrossEncoder) -> None:
    assert isinstance(reranker, Reranker)
    texts = [f"{'very ' * (number % 7)}text number {number}" for number in range(2 * BATCH + 3)]
    found = scores(reranker, "which one?", texts)
    assert found.shape == (len(texts),)
    assert found.dtype == np.float32
    for place in (0, 6, 20):
        wanted = plainly(bert, "which one?", texts[place])
        assert found[place] == pytest.approx(wanted, abs=1e-4)
    assert len(set(found.round(5).tolist())) > len(texts) // 2
    assert scores(reranker, "nothing", []).shape == (0,)


def test_two_classes(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "two", labels=2)
    reranker = CrossEncoder.load("two", models_dir=tmp_path, threads=1)
    found = scores(reranker, "a query", ["a text"])
    assert found[0] == pytest.approx(plainly(folder, "a query", "a text"), abs=1e-4)
    reranker.close()
    with pytest.raises(ModelError, match="no reranker"):
        CrossEncoder.load(tiny_bert(tmp_path / "three", labels=3), threads=1)
    with pytest.raises(ModelError, match="lacks"):
        CrossEncoder.load(tiny_decoder(tmp_path / "decoder"), threads=1)


def test_only_the_text_is_cut(reranker: CrossEncoder) -> None:
    long = "one two three four five " * 100
    first, same = scores(reranker, "a query", [long, long + "and more"])
    assert first == same
    assert scores(reranker, "another query", [long])[0] != first
    longest = "who " * 500  # cut itself, or there would be no room for a text
    a, b = scores(reranker, longest, ["a text", "another one"])
    assert a != b


def test_what_is_no_text(reranker: CrossEncoder) -> None:
    with pytest.raises(InvalidInput, match="one string"):
        asyncio.run(reranker.rerank("a query", "a text"))
    for query, text in (("\ud800", "a"), ("a", "\ud800")):
        with pytest.raises(InvalidInput, match="surrogate"):
            scores(reranker, query, [text])


def test_the_loop_stays_free_and_closing_ends_it(bert: Path) -> None:
    reranker = CrossEncoder.load(bert, threads=1)

    async def main() -> int:
        beats, other_was_first = 0, False
        work = asyncio.create_task(reranker.rerank("a query", ["a text " * 40] * 200))
        other = asyncio.create_task(reranker.rerank("a query", ["a text"]))
        while not work.done():
            await asyncio.sleep(0.001)
            beats += 1
            if other.done() and not work.done():
                other_was_first = True
        assert other_was_first
        return beats

    assert asyncio.run(main()) > 5
    reranker.close()
    reranker.close()
    with pytest.raises(ModelError, match="closed"):
        scores(reranker, "a query", ["a text"])
