"""The stand-ins do what they say."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.ports import ChatMessage, Clock, Embedder, Generator, Reranker
from memoryscope_rag.testing.fakes import (
    FrozenClock,
    HashEmbedder,
    ScriptedGenerator,
    ScriptedReranker,
)


def test_i6_hash_embedder() -> None:
    embedder = HashEmbedder()
    assert isinstance(embedder, Embedder)
    texts = ["My dog's name is Rex", "What is my dog's name?", "It rained in Paris", "", "，。"]
    vectors = asyncio.run(embedder.embed([*texts, "我的狗叫小白", "我的狗叫什么"], "document"))
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.4 > near[0, 2]
    assert near[5, 6] > 0.4
    # The same on every machine and in every process.
    assert vectors[0, :4].round(4).tolist() == pytest.approx(FIRST)


FIRST = [-0.4355, -0.1005, 0.0, 0.0]


def test_hash_embedder_pieces_and_failure() -> None:
    embedder = HashEmbedder(8, failure=ModelError("down"))
    text = "A sentence of some length. " * 100
    spans = embedder.pieces(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert max(end - start for start, end in spans) <= 1000
    with pytest.raises(ModelError, match="down"):
        asyncio.run(embedder.embed(["x"], "query"))
    assert embedder.calls == [("query", ("x",))]
    with pytest.raises(InvalidInput):
        HashEmbedder(0)


def test_frozen_clock() -> None:
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(clock, Clock)
    assert clock.now() == clock.now()
    assert clock.advance(90) == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    clock.advance(timedelta(days=1))
    assert clock.now().day == 2
    with pytest.raises(InvalidInput, match="time zone"):
        FrozenClock(datetime(2026, 1, 1))


def test_i6_scripted_reranker() -> None:
    listed = ScriptedReranker([0.5, 0.25, 1.0])
    assert isinstance(listed, Reranker)
    assert asyncio.run(listed.rerank("q", ["a", "b"])).tolist() == [0.5, 0.25]
    with pytest.raises(AssertionError, match="only 3 scores"):
        asyncio.run(listed.rerank("q", ["a"] * 4))
    assert listed.history[0] == ("q", ("a", "b"))
    computed = ScriptedReranker(lambda query, text: float(len(query) * len(text)))
    assert asyncio.run(computed.rerank("qq", ["a", "bb"])).tolist() == [2.0, 4.0]
    computed.failure = ModelError("down")
    with pytest.raises(ModelError, match="down"):
        asyncio.run(computed.rerank("q", []))

    async def slow() -> None:
        async with asyncio.timeout(0.01):
            await ScriptedReranker([], delay=5).rerank("q", [])

    with pytest.raises(TimeoutError):
        asyncio.run(slow())


def test_i6_scripted_generator() -> None:
    asked = ChatMessage("user", "hi there")
    model = ScriptedGenerator(
        ["one", ModelError("down"), lambda messages: messages[-1].content.upper()]
    )
    assert isinstance(model, Generator)

    async def run() -> None:
        reply = await model.generate([asked], schema={"type": "object"})
        assert (reply.text, reply.model) == ("one", "scripted")
        with pytest.raises(ModelError, match="down"):
            await model.generate([])
        pieces = [delta async for delta in model.stream([asked])]
        assert [delta.text for delta in pieces] == ["HI ", "THERE", ""]
        assert pieces[-1].reply is not None
        assert pieces[-1].reply.text == "HI THERE"
        with pytest.raises(ModelError, match="no reply left") as over:
            await model.generate([])
        assert not over.value.retryable
        await model.close()

    asyncio.run(run())
    assert model.history[0] == (asked,)
    assert model.schemas[:2] == [{"type": "object"}, None]
    assert model.calls == 4
    assert model.closed
