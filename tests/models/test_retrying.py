"""Trying again: what, how often, how long, and what is given out meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.retrying import (
    RetryingEmbedder,
    RetryingGenerator,
    RetryingReranker,
    RetryPolicy,
)
from memoryscope_rag.ports import Embedder, Generator, Reranker
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator, ScriptedReranker
from memoryscope_rag.testing.scripted_server import WireReply, scripted_server
from memoryscope_rag.testing.wire import openai_chat, openai_error, openai_stream
from tests.models.chat import ASKED, openai_at, read_until_failure, replied, streamed, using

T = TypeVar("T")
SOON = RetryPolicy(attempts=3, first_wait_s=0.001)
BUSY = ModelError("busy", retryable=True)


def test_i5_success_on_the_second_attempt_is_success() -> None:
    generator = ScriptedGenerator([BUSY, "at last"])
    assert replied(RetryingGenerator(generator, SOON)).text == "at last"
    assert generator.calls == 2
    assert generator.history[0] == generator.history[1]


def test_i5_over_the_wire_too() -> None:
    busy = openai_error(429, retry_after="0.01")
    script = [busy, WireReply((b'{"choi',), cut=True), openai_chat("at last")]
    with scripted_server(script) as server:
        assert replied(RetryingGenerator(openai_at(server.url), SOON)).text == "at last"
    assert len({str(body) for body in server.bodies}) == 1
    assert len(server.requests) == 3


def test_only_what_is_retryable_and_only_so_often() -> None:
    refused = ScriptedGenerator([ModelError("refused"), "never"])
    with pytest.raises(ModelError, match="refused"):
        replied(RetryingGenerator(refused, SOON))
    assert refused.calls == 1
    busy = ScriptedGenerator([BUSY, BUSY, ModelError("still busy", retryable=True), "never"])
    with pytest.raises(ModelError, match="still busy"):
        replied(RetryingGenerator(busy, SOON))
    assert busy.calls == 3
    other = ScriptedGenerator([ValueError("a mistake"), "never"])
    with pytest.raises(ValueError, match="a mistake"):
        replied(RetryingGenerator(other, SOON))


def test_i5_the_deadline_ends_an_attempt_under_way() -> None:
    slow = ScriptedGenerator(["never"] * 9, delay=30.0)
    policy = RetryPolicy(attempts=9, deadline_s=0.1, first_wait_s=0.001)
    with pytest.raises(ModelError, match=r"0\.1 s") as caught:
        replied(RetryingGenerator(slow, policy))
    assert caught.value.retryable
    assert slow.calls == 1
    stalled = ScriptedGenerator(["never"], delay=30.0)
    with pytest.raises(ModelError, match=r"0\.1 s"):
        streamed(RetryingGenerator(stalled, policy))


def test_i5_a_wait_beyond_the_deadline_is_not_begun() -> None:
    later = ModelError("come back in an hour", retryable=True, retry_after=3600.0)
    generator = ScriptedGenerator([later, "never"])
    with pytest.raises(ModelError, match="an hour"):
        replied(RetryingGenerator(generator, RetryPolicy(deadline_s=5.0)))
    assert generator.calls == 1


def test_a_deadline_of_the_caller_is_the_callers() -> None:
    async def hurried(one: Generator) -> None:
        async with asyncio.timeout(0.05):
            await one.generate(ASKED)

    with pytest.raises(TimeoutError):
        using(RetryingGenerator(ScriptedGenerator(["never"], delay=30.0)), hurried)


def test_waits_grow_with_jitter_and_believe_the_server() -> None:
    class Attempt:
        def __init__(self, number: int, error: Exception | None) -> None:
            self.attempt_number = number
            self.outcome = self
            self.error = error

        def exception(self) -> Exception | None:
            return self.error

    def waits(number: int, error: Exception | None) -> list[float]:
        state: Any = Attempt(number, error)
        return [RetryPolicy(first_wait_s=1.0, longest_wait_s=5.0).wait(state) for _ in range(200)]

    for number, wanted in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (5000, 5.0)):
        found = waits(number, BUSY)
        assert wanted / 2 <= min(found) < wanted * 0.6
        assert wanted * 0.9 < max(found) <= wanted
    asked = waits(1, ModelError("x", retryable=True, retry_after=20.0))
    assert 20.0 <= min(asked) <= max(asked) <= 22.0


@pytest.mark.parametrize("values", [{"attempts": 0}, {"deadline_s": 0.0}])
def test_a_policy_that_makes_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        RetryPolicy(**values)


def test_a_stream_is_tried_again_before_its_first_piece() -> None:
    script = [openai_error(503), openai_stream([], cut=True), openai_stream(["a", "b"])]
    with scripted_server(script) as server:
        deltas = streamed(RetryingGenerator(openai_at(server.url), SOON))
    assert [delta.text for delta in deltas] == ["a", "b", ""]
    assert len(server.requests) == 3


def test_a_stream_is_not_tried_again_after_its_first_piece() -> None:
    with scripted_server([openai_stream(["a"], cut=True), openai_stream(["a", "b"])]) as server:
        wrapped = RetryingGenerator(openai_at(server.url), SOON)
        text, error = using(wrapped, read_until_failure)
    assert (text, error.retryable) == ("a", True)
    assert len(server.requests) == 1


def test_embedders_and_rerankers_are_retried_alike() -> None:
    class Recovering:
        """Calls a double whose failure passes after some attempts."""

        def __init__(self, inner: Any, failures: int) -> None:
            self.inner, self.failures = inner, failures

        async def count(self, work: Awaitable[T]) -> T:
            self.inner.failure = BUSY if self.failures > 0 else None
            self.failures -= 1
            return await work

    embedder = HashEmbedder()
    trouble = Recovering(embedder, 2)

    class Flaky(HashEmbedder):
        async def embed(self, texts: Sequence[str], kind: Any) -> Any:
            return await trouble.count(embedder.embed(texts, kind))

    flaky = Flaky()
    wrapped = RetryingEmbedder(flaky, SOON)
    assert isinstance(wrapped, Embedder)
    found = asyncio.run(wrapped.embed(["a"], "query"))
    assert np.array_equal(found, asyncio.run(HashEmbedder().embed(["a"], "query")))
    assert (wrapped.spec, wrapped.pieces("abc")) == (flaky.spec, ((0, 3),))
    wrapped.close()
    assert flaky.closed
    scripted = ScriptedReranker([0.5], failure=BUSY)
    reranker = RetryingReranker(scripted, SOON)
    assert isinstance(reranker, Reranker)
    with pytest.raises(ModelError, match="busy"):
        asyncio.run(reranker.rerank("q", ["a"]))
    assert len(scripted.history) == 3
    scripted.failure = None
    assert asyncio.run(reranker.rerank("q", ["a"])).tolist() == [0.5]
    reranker.close()
