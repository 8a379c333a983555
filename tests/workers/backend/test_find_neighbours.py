"""Neighbours of new facts: one search for all, a gate that bounds the cost, none of the closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.errors import ModelError
from memoryscope_rag.operations.record import index_fact
from memoryscope_rag.ports import SearchRequest
from memoryscope_rag.schema import Kind, MemoryNode, Scope
from memoryscope_rag.workers.backend.facts import likeness, plain, slot_of, tokens_of
from memoryscope_rag.workers.backend.find_neighbours import FindNeighbours
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact
from tests.operations.consolidating import ANN, NOON, Memory, memory


def make(name: str, content: str, **more: Any) -> Fact:
    return Fact(
        id=name, content=content, sources=("m0",), said_at=NOON, session_id="s", seq=1, **more
    )


async def near(m: Memory, *facts: Fact, **params: Any) -> dict[str, list[str]]:
    """Ids of the neighbours by id of the fact."""
    worker = FindNeighbours(m.services, FindNeighbours.Params(**params))
    state = await worker.run(ConsolidationState(scope=ANN, now=NOON, messages=(), facts=facts))
    return {name: [node.id for node in nodes] for name, nodes in state.neighbours.items()}


async def know(m: Memory, name: str, content: str, *, kind: Kind = "note", **more: Any) -> None:
    node = MemoryNode(name, kind, content, NOON - timedelta(days=1000), **more)
    await m.store.add_nodes(ANN, [await index_fact(m.services.embedder, node)])


@pytest.mark.parametrize("embedder", [True, False])
def test_open_facts_of_all_times_and_earlier_ones_of_the_batch(
    tmp_path: Path, embedder: bool
) -> None:
    async def check() -> None:
        async with memory(tmp_path, embedder=embedder) as m:
            await know(m, "old", "Ann works at Meta in London")
            await know(m, "observed", "Ann works at Meta London office", kind="observation")
            await know(m, "insight", "Ann works at Meta in London", kind="insight")
            await know(m, "closed", "Ann works at Meta in London", valid_to=NOON)
            await know(m, "other", "The cat sleeps all day")
            found = await near(
                m,
                make("f1", "Ann works at Apple in London"),
                make("f2", "Ann works at Google in London"),
                make("f3", "Bananas are yellow"),
            )
            assert {name: sorted(ids) for name, ids in found.items()} == {
                "f1": ["observed", "old"],
                "f2": ["f1", "observed", "old"],
            }

    asyncio.run(check())


def test_one_search_for_all_facts_and_none_for_none(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            asked: list[int] = []
            search = m.store.search

            async def counting(scope: Any, requests: Sequence[SearchRequest]) -> Any:
                asked.append(len(requests))
                return await search(scope, requests)

            m.store.search = counting  # type: ignore[method-assign]
            assert await near(m) == {}
            await near(m, *(make(f"f{n}", f"fact number {n}") for n in range(7)))
            assert asked == [7]

    asyncio.run(check())


def test_the_number_of_neighbours_is_bounded_and_the_nearest_come_first(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            for number in range(20):
                await know(m, f"n{number:02}", "Ann likes tea with milk" + " and cake" * number)
            found = await near(m, make("f", "Ann likes tea with milk"), most=3)
            assert len(found["f"]) == 3
            assert found["f"][0] == "n00"
            assert await near(m, make("f", "Ann likes tea"), cosine=50, words=1.0) == {}

    asyncio.run(check())


def test_the_same_attribute_of_the_same_subject_is_near(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            slot = {"subject": "Ann", "attribute": "employer"}
            await know(m, "old", "Ann has been at Meta for ages", metadata=slot)
            new = make("f", "Ann: new badge, Apple", subject="ann", attribute=" Employer.")
            assert await near(m, new) == {"f": ["old"]}
            assert await near(m, make("f", "Ann: new badge, Apple")) == {}

    asyncio.run(check())


def test_a_failing_embedder_leaves_the_words(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await know(m, "old", "Ann works at Meta in London")
            m.services.embedder.failure = ModelError("down")  # type: ignore[union-attr]
            assert await near(m, make("f", "Ann works at Apple in London")) == {"f": ["old"]}

    asyncio.run(check())


def test_another_scope_is_never_near(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            node = MemoryNode("bobs", "note", "Ann works at Meta in London", NOON)
            await m.store.add_nodes(Scope("bob"), [await index_fact(m.services.embedder, node)])
            assert await near(m, make("f", "Ann works at Meta in London")) == {}

    asyncio.run(check())


def test_small_measures() -> None:
    assert likeness("abc", "bcd") == pytest.approx(2 / 3)
    assert likeness("", "a") == 0
    assert plain("  Ann's  ＨＯＭＥ。") == "ann s home"
    assert slot_of({"subject": "Ann", "attribute": None}) is None
    one, two = (
        MemoryNode("n", "note", f"{text} (20 November 2026)", NOON) for text in ("Ann ran", "Ben")
    )
    assert not tokens_of(one) & tokens_of(two)
