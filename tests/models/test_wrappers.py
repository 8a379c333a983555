"""What is put around a chat model: limits, budgets, caches, defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import cast

import pytest

from memoryscope_rag.errors import BudgetExceeded, InvalidInput, ModelError
from memoryscope_rag.models.budgeted import BudgetedGenerator
from memoryscope_rag.models.cached_replies import CachedGenerator
from memoryscope_rag.models.ledger import Ledger, Price, Spent
from memoryscope_rag.models.limited import LimitedGenerator
from memoryscope_rag.models.retrying import (
    RetryingGenerator,
)
from memoryscope_rag.models.sampled import SampledGenerator
from memoryscope_rag.ports import (
    ChatMessage,
    Delta,
    Generator,
    JsonSchema,
    Reply,
    Sampling,
    Usage,
)
from memoryscope_rag.testing.fakes import ScriptedGenerator
from memoryscope_rag.testing.scripted_server import scripted_server
from memoryscope_rag.testing.wire import openai_chat, openai_error, openai_stream
from tests.models.chat import ASKED, openai_at, replied, using

BUSY = ModelError("busy", retryable=True)
COLD = Sampling(temperature=0.0)
WRAPPERS: list[Callable[[Generator], Generator]] = [
    RetryingGenerator,
    lambda inner: LimitedGenerator(inner, 2),
    lambda inner: BudgetedGenerator(inner, Ledger()),
    CachedGenerator,
    lambda inner: SampledGenerator(inner, Sampling()),
]


async def collected(stream: AsyncIterator[Delta]) -> list[Delta]:
    return [delta async for delta in stream]


async def closed(stream: AsyncIterator[Delta]) -> None:
    await cast("AsyncGenerator[Delta]", stream).aclose()


class Endless:
    """A generator whose streams do not end by themselves; counts those open."""

    model = "endless"

    def __init__(self) -> None:
        self.open = 0
        self.most = 0

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.01)
        self.open -= 1
        return Reply("x", self.model)

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while True:
                yield Delta("ab")
                await asyncio.sleep(0)
        finally:
            self.open -= 1

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_wrapper_is_a_generator_and_changes_nothing(
    wrap: Callable[[Generator], Generator],
) -> None:
    inner = ScriptedGenerator(["one two", "one two"], model="m")
    wrapped = wrap(inner)
    assert isinstance(wrapped, Generator)
    assert wrapped.model == "m"
    schema = {"type": "object"}

    async def both(one: Generator) -> tuple[Reply, list[Delta]]:
        reply = await one.generate(ASKED, sampling=COLD, schema=schema)
        return reply, await collected(one.stream(ASKED, sampling=COLD))

    reply, deltas = using(wrapped, both)
    assert reply.text == "one two"
    assert [delta.text for delta in deltas] == ["one ", "two", ""]
    assert deltas[-1].reply == reply
    assert inner.history == [ASKED, ASKED]
    assert inner.samplings == [COLD, COLD]
    assert inner.schemas[0] == schema
    assert inner.closed


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_closing_a_stream_early_closes_the_inner_one(
    wrap: Callable[[Generator], Generator],
) -> None:
    async def first(one: Generator) -> None:
        stream = one.stream(ASKED)
        assert (await anext(stream)).text == "ab"
        assert inner.open == 1
        await closed(stream)
        assert inner.open == 0

    inner = Endless()
    using(wrap(inner), first)


# ---------------------------------------------------------------- limits


def test_no_more_calls_than_places() -> None:
    async def many(one: Generator) -> None:
        await asyncio.gather(*(one.generate(ASKED) for _ in range(9)))

    inner = Endless()
    using(LimitedGenerator(inner, 3), many)
    assert (inner.most, inner.open) == (3, 0)
    with pytest.raises(InvalidInput):
        LimitedGenerator(inner, 0)


def test_a_stream_holds_its_place_until_it_ends() -> None:
    async def crowd(one: Generator) -> None:
        first = one.stream(ASKED)
        await anext(first)
        waiting = asyncio.create_task(one.generate(ASKED))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await closed(first)
        assert (await waiting).text == "x"

    inner = Endless()
    using(LimitedGenerator(inner, 1), crowd)
    assert inner.most == 1


def test_a_failure_gives_its_place_back() -> None:
    inner = ScriptedGenerator([BUSY, BUSY, "x"])

    async def some(one: Generator) -> str:
        with pytest.raises(ModelError):
            await one.generate(ASKED)
        with pytest.raises(ModelError):
            await collected(one.stream(ASKED))
        return (await one.generate(ASKED)).text

    assert using(LimitedGenerator(inner, 1), some) == "x"


# ---------------------------------------------------------------- budgets


def test_n3_tokens_and_money_are_counted_by_model() -> None:
    ledger = Ledger()
    price = Price(prompt=2.0, completion=10.0)
    with scripted_server(lambda _: openai_chat("x", usage=(1000, 100))) as server:
        for model in ("small", "large", "large"):
            replied(BudgetedGenerator(openai_at(server.url, model=model), ledger, price=price))
    counts = ledger.by_model()
    assert counts["small"] == Spent(1, Usage(1000, 100), price.of(Usage(1000, 100)), 0)
    assert (counts["large"].calls, counts["large"].usage) == (2, Usage(2000, 200))
    assert ledger.cost == pytest.approx(0.009)


def test_n3_streams_are_counted_whole_or_closed_early() -> None:
    ledger = Ledger()
    with scripted_server(lambda _: openai_stream(["abcd"] * 5, usage=(9, 6))) as server:

        async def both(one: Generator) -> None:
            await collected(one.stream(ASKED))
            stream = one.stream(ASKED)
            await anext(stream)
            await closed(stream)

        using(BudgetedGenerator(openai_at(server.url), ledger), both)
    spent = ledger.by_model()["wanted"]
    asked = -(-sum(len(message.content) for message in ASKED) // 4)
    assert spent == Spent(2, Usage(9 + asked, 6 + 1), 0.0, 1)


def test_what_the_server_does_not_count_is_estimated() -> None:
    ledger = Ledger()
    with scripted_server([openai_chat("x" * 40, usage=None)]) as server:
        replied(BudgetedGenerator(openai_at(server.url), ledger))
    assert ledger.by_model()["wanted"].usage.completion_tokens == 10
    assert ledger.by_model()["wanted"].estimated == 1


def test_n3_a_spent_budget_stops_everything_that_shares_it() -> None:
    ledger = Ledger()
    inner = ScriptedGenerator(["x" * 400] * 9, model="m")
    price = Price(completion=1000.0)  # 100 tokens: 0.1
    first = BudgetedGenerator(inner, ledger, price=price, budget=0.15)
    second = BudgetedGenerator(inner, ledger, price=price, budget=0.15)

    async def spend(_: Generator) -> None:
        await first.generate(ASKED)
        await second.generate(ASKED)  # 0.1 was spent before it
        for one in (first, second):
            with pytest.raises(BudgetExceeded, match=r"0\.2\d* of the budget of 0\.15") as caught:
                await one.generate(ASKED)
            assert isinstance(caught.value, ModelError)
            assert not caught.value.retryable
            with pytest.raises(BudgetExceeded):
                await collected(one.stream(ASKED))

    using(first, spend)
    assert inner.calls == 2


def test_a_failure_costs_nothing_and_a_budget_needs_prices() -> None:
    ledger = Ledger()
    inner = ScriptedGenerator([BUSY, BUSY])

    async def fail(one: Generator) -> None:
        with pytest.raises(ModelError):
            await one.generate(ASKED)
        with pytest.raises(ModelError):
            await collected(one.stream(ASKED))

    using(BudgetedGenerator(inner, ledger), fail)
    assert ledger.by_model() == {}
    with pytest.raises(InvalidInput, match="prices"):
        BudgetedGenerator(inner, ledger, budget=1.0)


# ---------------------------------------------------------------- caches


def test_what_would_be_repeated_is_asked_once() -> None:
    inner = ScriptedGenerator([f"reply {number}" for number in range(12)])
    calls = [
        (messages, sampling, schema)
        for messages in (ASKED, ASKED[1:])
        for sampling in (COLD, Sampling(seed=1), Sampling(temperature=0.0, max_tokens=1))
        for schema in (None, {"type": "object"})
    ]

    async def ask_all(one: Generator) -> list[str]:
        return [
            (await one.generate(messages, sampling=sampling, schema=schema)).text
            for messages, sampling, schema in calls
        ]

    async def twice(one: Generator) -> None:
        first = await ask_all(one)
        assert len(set(first)) == 12
        assert await ask_all(one) == first

    cached = CachedGenerator(inner, 12)
    using(cached, twice)
    assert inner.calls == 12
    assert len(cached) == 0  # closed


def test_what_was_used_least_lately_goes_first() -> None:
    inner = ScriptedGenerator(["a", "b", "c", "b again"])

    async def some(one: Generator) -> list[str]:
        seeds = (1, 2, 1, 3, 1, 2)
        replies = [await one.generate(ASKED, sampling=Sampling(seed=seed)) for seed in seeds]
        assert len(cached) == 2
        return [reply.text for reply in replies]

    cached = CachedGenerator(inner, 2)
    assert using(cached, some) == ["a", "b", "a", "c", "a", "b again"]


def test_a_reply_from_the_cache_takes_no_tokens_and_streams() -> None:
    inner = ScriptedGenerator(["one two", "never"])

    async def twice(one: Generator) -> None:
        first = await collected(one.stream(ASKED, sampling=COLD))
        again = await collected(one.stream(ASKED, sampling=COLD))
        reply = await one.generate(ASKED, sampling=COLD)
        assert "".join(d.text for d in first) == "".join(d.text for d in again) == reply.text
        assert first[-1].reply is not None
        assert first[-1].reply.usage != Usage()
        assert again[-1].reply == reply
        assert reply.usage == Usage()

    using(CachedGenerator(inner), twice)
    assert inner.calls == 1


def test_what_may_differ_or_was_cut_is_asked_again() -> None:
    inner = ScriptedGenerator(["a", "b", "c", "d"])

    async def warm(one: Generator) -> list[str]:
        warm_ones = [Sampling(), Sampling(), Sampling(temperature=0.7), Sampling(temperature=0.7)]
        return [(await one.generate(ASKED, sampling=sampling)).text for sampling in warm_ones]

    assert using(CachedGenerator(inner), warm) == ["a", "b", "c", "d"]
    cut = openai_chat("a", finish="length")
    with scripted_server([cut, openai_error(400), openai_chat("b")]) as server:

        async def some(one: Generator) -> str:
            await one.generate(ASKED, sampling=COLD)
            with pytest.raises(ModelError):
                await one.generate(ASKED, sampling=COLD)
            return (await one.generate(ASKED, sampling=COLD)).text

        assert using(CachedGenerator(openai_at(server.url)), some) == "b"
    with pytest.raises(InvalidInput):
        CachedGenerator(inner, -1)


# ---------------------------------------------------------------- defaults


def test_what_a_call_leaves_open_is_filled_in() -> None:
    inner = ScriptedGenerator(["x"] * 3)
    defaults = Sampling(0.1, 0.2, 30, ("END",), 5)

    async def some(one: Generator) -> None:
        await one.generate(ASKED)
        await one.generate(ASKED, sampling=Sampling(0.0, 0.9, 1, ("\n",), 0))
        await collected(one.stream(ASKED, sampling=COLD))

    using(SampledGenerator(inner, defaults), some)
    assert inner.samplings == [
        defaults,
        Sampling(0.0, 0.9, 1, ("\n",), 0),
        Sampling(0.0, 0.2, 30, ("END",), 5),
    ]
