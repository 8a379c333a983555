"""A store for LangGraph graphs, side by side with the framework's own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from memoryscope_rag import AsyncMemoryScope, InvalidInput, MemoryScope, Scope
from memoryscope_rag.adapters.langgraph import LangGraphStore
from memoryscope_rag.errors import StoreError
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.adapters.talking import INJECTION, SCRIPTS, AcrossProcesses, break_store, fenced

SPACES = [("memories", "ann"), ("memories", "bob"), ("memories", "ann", "work"), ("settings",)]
KEYS = ["a", "b", "c", "Ключ/4 '", ""]


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "langgraph_agent.py"
    heading = "LangGraph"
    scope = Scope("memories.ann", "langgraph")


def plain(result: Any) -> Any:
    """A result without times, which no two stores share."""
    if isinstance(result, Item):
        return (result.namespace, result.key, result.value)
    if isinstance(result, list):
        return sorted((plain(item) for item in result), key=repr)
    return result


def document(draw: random.Random) -> dict[str, Any]:
    values = ["tea", "coffee", 1, 2.5, True, None, ["x", 1], {"deep": {"n": 3}}, "\ud800", "\x00"]
    return {name: draw.choice(values) for name in draw.sample(["text", "kind", "n", "more"], 2)}


def question(draw: random.Random) -> dict[str, Any] | None:
    return draw.choice(
        [
            None,
            {"text": "tea"},
            {"n": {"$ne": 1}},
            {"n": {"$eq": 2.5}},
            {"more": {"deep": {"n": 3}}},
            {"kind": ["x", 1], "text": {"$ne": "tea"}},
        ]
    )


def operations(draw: random.Random) -> list[Op]:
    made: list[Op] = []
    for _ in range(draw.randint(1, 6)):
        space, key = draw.choice(SPACES), draw.choice(KEYS)
        made.append(
            draw.choice(
                [
                    PutOp(space, key, document(draw)),
                    PutOp(space, key, document(draw), index=False),
                    PutOp(space, key, None),
                    GetOp(space, key),
                    SearchOp(space[: draw.randint(0, 2)], question(draw), limit=100),
                ]
            )
        )
    return made


@pytest.mark.parametrize("seed", range(4))
def test_random_operations_give_what_the_frameworks_own_store_gives(
    store: MemoryScope, seed: int
) -> None:
    draw = random.Random(seed)
    ours, theirs = LangGraphStore(store), InMemoryStore()
    for _ in range(40):
        ops = operations(draw)
        expected = [plain(result) for result in theirs.batch(ops)]
        assert [plain(result) for result in ours.batch(ops)] == expected, ops
    filled = {item.namespace for item in theirs.search((), limit=1000)}
    assert ours.list_namespaces() == sorted(filled)


def test_namespaces_are_listed_as_by_the_frameworks_own_store(store: MemoryScope) -> None:
    def listed(kept: BaseStore) -> list[Any]:
        for space in [*SPACES, ("memories", "cleo", "home"), ("notes", "work")]:
            kept.put(space, "key", {"text": "tea"})
        return [
            kept.list_namespaces(),
            kept.list_namespaces(prefix=("memories",)),
            kept.list_namespaces(prefix=("*", "ann")),
            kept.list_namespaces(suffix=("work",)),
            kept.list_namespaces(prefix=("memories", "*"), suffix=("home",), max_depth=2),
            kept.list_namespaces(max_depth=1),
            kept.list_namespaces(limit=2, offset=1),
        ]

    assert listed(LangGraphStore(store)) == listed(InMemoryStore())


@pytest.mark.parametrize("bound", [1, 2.5, "2"])
@pytest.mark.parametrize("name", ["$gt", "$gte", "$lt", "$lte"])
def test_numbers_are_compared_as_by_the_frameworks_own_store(
    store: MemoryScope, name: str, bound: Any
) -> None:
    def found(kept: BaseStore) -> Any:
        for number in (1, 2, 2.5, "3"):
            kept.put(("n",), str(number), {"n": number})
        return plain(kept.search(("n",), filter={"n": {name: bound}}))

    ours = LangGraphStore(store)
    assert found(ours) == found(InMemoryStore())
    ours.put(("n",), "none", {"other": 1})
    assert found(ours) == found(InMemoryStore()), "what has no such number does not match"


def test_a_query_finds_by_meaning_within_the_prefix_and_all_of_it(store: MemoryScope) -> None:
    ours = LangGraphStore(store, fields=["text", "tags[*]"])
    ann, bob = ("memories", "ann"), ("memories", "bob")
    ours.put(ann, "cat", {"text": "My cat is called Otto", "kind": "pet"})
    ours.put(ann, "twin", {"text": "My cat is called Otto", "kind": "twin"})
    ours.put(ann, "dog", {"text": "The dog likes long walks", "kind": "pet", "tags": ["Rex"]})
    ours.put(ann, "secret", {"text": "the cat's hidden name"}, index=False)
    ours.put(ann, "other", {"colour": "green"})
    ours.put(ann, "title", {"title": "A cat in the hat"}, index=["title"])
    ours.put(bob, "cat", {"text": "My cat is called Mia"})

    found = ours.search(ann, query="What is my cat called?")
    assert {item.key for item in found} == {"cat", "twin", "dog", "secret", "other", "title"}
    assert found[0].value["text"] == "My cat is called Otto"
    assert {item.key for item in found if item.score is None} >= {"secret", "other"}
    scores = [item.score for item in found if item.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(item.score is None for item in found[len(scores) :])
    assert next(item.key for item in ours.search(ann, query="Rex")) == "dog"
    assert [item.key for item in ours.search(ann, query="cat", filter={"kind": "twin"})] == ["twin"]
    both = ours.search(("memories",), query="What is my cat called?", limit=3)
    assert {item.value.get("text") for item in both} >= {"My cat is called Otto"}
    assert {item.namespace for item in ours.search(("memories",), query="cat")} == {ann, bob}
    first = ours.search(ann, query="cat", limit=2)
    rest = ours.search(ann, query="cat", limit=10, offset=2)
    assert [*first, *rest] == ours.search(ann, query="cat")


def test_values_come_back_letter_for_letter_whatever_their_size(store: MemoryScope) -> None:
    ours = LangGraphStore(store, fields=["text"])
    values = [
        {},
        {"text": "", "empty": []},
        {"text": "x" * 200_000, "n": 10**30, "tiny": 5e-324, "no": None},
        {"text": "绿茶" * 20_000, "deep": [[[{"a": "\u2028\x00\udfff"}]]]},
        {"lines": ["a line of a file\n"] * 10_000},
    ]
    for number, value in enumerate(values):
        ours.put(("files",), str(number), value)
    for number, value in enumerate(values):
        item = ours.get(("files",), str(number))
        assert item is not None
        assert item.value == value
    assert ours.search(("files",), query="绿茶")[0].key == "3"


def test_an_item_keeps_its_beginning_and_its_history(store: MemoryScope) -> None:
    ours = LangGraphStore(store)
    ours.put(("prefs",), "tea", {"kind": "green"})
    first = ours.get(("prefs",), "tea")
    ours.put(("prefs",), "tea", {"kind": "black"})
    second = ours.get(("prefs",), "tea")
    assert first is not None
    assert second is not None
    assert first.created_at == first.updated_at == second.created_at < second.updated_at
    (node,) = store.list(scope=ours.scope(("prefs",))).items
    versions = [
        version.content for version in store.history(node.id, scope=Scope("prefs", "langgraph"))
    ]
    assert versions == ['{"kind": "green"}', '{"kind": "black"}']
    ours.delete(("prefs",), "tea")
    assert ours.list_namespaces() == []
    assert ours.search((), query="tea") == []


def test_what_cannot_be_is_refused_before_anything_is_written(store: MemoryScope) -> None:
    ours = LangGraphStore(store)

    def refused(ops: Iterable[Op], error: type[Exception], reason: str) -> None:
        with pytest.raises(error, match=reason):
            ours.batch([PutOp(("a",), "fine", {"n": 1}), *ops])
        assert ours.search(()) == []

    refused([PutOp(("a",), "b", {"n": {1, 2}})], InvalidInput, "is no JSON")
    refused([PutOp(("a",), "b", {"n": float("nan")})], InvalidInput, "is no JSON")
    refused([PutOp(("a.b",), "b", {"n": 1})], InvalidNamespaceError, "periods")
    refused([PutOp(("a" * 300,), "b", {"n": 1})], InvalidInput, "limit is 256")
    refused([PutOp(("a",), "\ud800", {"n": 1})], InvalidInput, "surrogate")
    ours.put(("a",), "b", {"n": 1})
    with pytest.raises(InvalidInput, match=r"did you mean '\$gte'"):
        ours.search(("a",), filter={"n": {"$ge": 1}})
    with pytest.raises(InvalidInput, match="numbers only"):
        ours.search(("a",), filter={"n": {"$gt": "x"}})
    with pytest.raises(NotImplementedError):
        ours.put(("a",), "b", {"n": 1}, ttl=5)
    with pytest.raises(InvalidInput, match="must be positive"):
        LangGraphStore(store, timeout_s=0)


def test_items_reach_a_prompt_behind_the_fence(store: MemoryScope) -> None:
    ours = LangGraphStore(store)
    ours.put(("memories", "ann"), "a", {"text": f"My cat is called Otto {INJECTION}"})
    text = ours.prompt(ours.search(("memories", "ann"), query="cat"))
    (block,) = fenced(text)
    assert "Otto" in block
    assert "<" not in block
    assert ours.prompt([]) == ""


def test_many_writers_of_one_key_leave_one_item(tmp_path: Path) -> None:
    async def write() -> list[SearchItem]:
        async with await AsyncMemoryScope.open(
            tmp_path / "memory.db", embedder=HashEmbedder()
        ) as memory:
            ours = LangGraphStore(memory, strict=True)
            puts = (ours.aput(("a",), "key", {"n": number}) for number in range(8))
            await asyncio.gather(*puts)
            with pytest.raises(InvalidInput, match="async calls only"):
                ours.get(("a",), "key")
            return list(await ours.asearch(("a",)))

    (item,) = asyncio.run(write())
    assert item.value["n"] in range(8)


def test_a_broken_memory_is_a_line_in_the_log_or_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = break_store(tmp_path)
    with caplog.at_level(logging.WARNING):
        soft = LangGraphStore(path)
        soft.put(("a",), "secret key", {"text": "secret words"})
        assert soft.get(("a",), "secret key") is None
        assert soft.search(("a",), query="secret") == []
        assert soft.list_namespaces() == []
        soft.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
    assert "StoreCorrupt" in caplog.text
    assert "secret" not in caplog.text
    strict = LangGraphStore(path, strict=True)
    with pytest.raises(StoreError):
        strict.get(("a",), "key")
    strict.close()


def test_a_memory_that_was_closed_is_no_memory(
    store: MemoryScope, caplog: pytest.LogCaptureFixture
) -> None:
    soft, strict = LangGraphStore(store), LangGraphStore(store, strict=True)
    strict.put(("a",), "key", {"n": 1})
    store.close()
    assert soft.get(("a",), "key") is None
    with pytest.raises(StoreError, match="closed"):
        strict.get(("a",), "key")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
