"""The profiles of retrieval over a scripted beacon memory: what each adds, and what it names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import pytest

from memoryscope_rag import AsyncMemoryScope, Evidence, InvalidInput, load_config
from memoryscope_rag.errors import ModelError
from memoryscope_rag.operations.profiles import NO_MEMORY, NO_MODEL
from memoryscope_rag.schema import Clue, Profile
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator, ScriptedReranker
from tests.clues.remembering import ANN, NOW, TURNS, ids, messages, remembering

SPAN = Clue("Clara plays the cello in Leeds", "span", provenance=("m2",))
QUESTION = "Which instrument is practised by her relative?"


def ask(folder: Path, query: str = QUESTION, **options: Any) -> tuple[Evidence, Any]:
    """The evidence for ``query``, and the scripted memory that was asked."""
    asking = {
        name: options.pop(name) for name in ("profile", "explain", "limit") if name in options
    }

    async def run() -> tuple[Evidence, Any]:
        async with remembering(folder, **options) as (app, memory):
            return await app.retrieve(query, scope=ANN, now=NOW, floor=False, **asking), memory

    return asyncio.run(run())


def test_fast_asks_no_model(tmp_path: Path) -> None:
    evidence, memory = ask(tmp_path, profile="fast", clues=[SPAN], attention={"m2": 3.0})
    assert not memory.calls
    assert (evidence.profile, evidence.clues, evidence.left_out) == ("fast", (), ())


def test_read_raises_what_draws_attention(tmp_path: Path) -> None:
    attention = {f"m{n}": 0.0 for n in range(8)} | {"m6": 30.0}
    evidence, memory = ask(tmp_path, profile="read", attention=attention, explain=True)
    assert ids(evidence)[0] == "m6"
    assert evidence.profile == "read"
    assert "attention" in evidence.items[0].found_by
    (part,) = [part for part in evidence.items[0].parts if part.signal == "attention"]
    assert part.value == pytest.approx(30 - 30 / 8)  # above the mean of the candidates
    assert memory.calls["attention"] == 1
    assert not memory.calls["clues"]


def test_what_draws_attention_joins_the_candidates(tmp_path: Path) -> None:
    turns = (*TURNS, *(f"number {n} about nothing" for n in range(400)))
    words = "number nothing about"
    found, _ = ask(tmp_path / "a", words, turns=turns, profile="fast", limit=1000)
    assert "m2" not in ids(found)
    found, _ = ask(
        tmp_path / "b",
        words,
        turns=turns,
        profile="read",
        limit=1000,
        attention={"m2": 1.0, "m9": 0.0},
    )
    assert "m2" in ids(found)


def test_clues_lead_to_what_the_words_of_the_query_miss(tmp_path: Path) -> None:
    evidence, memory = ask(tmp_path, profile="clues", clues=[SPAN], explain=True)
    assert ids(evidence)[0] == "m2"
    assert evidence.items[0].found_by == ("clue 1",)
    assert evidence.clues == (SPAN,)
    assert evidence.profile == "clues"
    assert (memory.calls["attention"], memory.calls["clues"]) == (1, 1)
    assert evidence.left_out == ()


def test_deep_searches_once_more_for_what_is_missing(tmp_path: Path) -> None:
    turns = (*TURNS, "Yesterday my boss Priya lent me her camera", "Priya grew up in Mumbai")
    question = "Where did the boss spend childhood?"
    first, _ = ask(tmp_path / "a", question, turns=turns, profile="fast")
    assert ids(first)[:1] == ["m8"]
    evidence, _ = ask(tmp_path / "b", question, turns=turns, profile="deep", explain=True)
    assert set(ids(evidence)[:2]) == {"m8", "m9"}
    assert evidence.profile == "deep"
    assert evidence.clues[0] == Clue("Priya spend childhood", "surrogate", provenance=("m8",))


def test_deep_asks_the_chat_model_what_is_missing(tmp_path: Path) -> None:
    generator = ScriptedGenerator(["none", "1. Where does Clara play the cello?"])
    evidence, _ = ask(tmp_path, "What about mushroom soup?", profile="deep", generator=generator)
    assert "Where does Clara play the cello?" in [clue.text for clue in evidence.clues]
    assert "mushroom soup with garlic" in generator.history[1][1].content
    assert generator.calls == 2


def test_without_a_memory_the_chat_model_imagines(tmp_path: Path) -> None:
    generator = ScriptedGenerator(["- My sister plays the cello in Leeds\n- Who plays the cello?"])

    async def run() -> Evidence:
        async with await AsyncMemoryScope.open(
            tmp_path / "m.db",
            config=load_config(overrides={"schedule": {"close_s": 0}}),
            embedder=HashEmbedder(256),
            generator=generator,
        ) as app:
            await app.record_many(messages(), scope=ANN)
            return await app.retrieve(QUESTION, scope=ANN, floor=False, profile="clues")

    evidence = asyncio.run(run())
    assert [clue.kind for clue in evidence.clues] == ["draft", "surrogate"]
    assert ids(evidence)[0] == "m2"
    assert evidence.left_out == (NO_MEMORY,)
    assert evidence.profile == "clues"


@pytest.mark.parametrize(
    ("profile", "said"), [("read", NO_MEMORY), ("clues", NO_MODEL), ("deep", NO_MEMORY)]
)
def test_what_is_not_there_is_named_once(tmp_path: Path, profile: Profile, said: str) -> None:
    async def run() -> Evidence:
        async with await AsyncMemoryScope.open(tmp_path / "m.db", embedder=HashEmbedder()) as app:
            await app.record_many(messages(), scope=ANN)
            return await app.retrieve("mushroom soup", scope=ANN, profile=profile)

    evidence = asyncio.run(run())
    assert evidence.left_out == (said,)
    assert ids(evidence)[0] == "m3"


@pytest.mark.parametrize("profile", get_args(Profile)[1:])
def test_a_memory_that_fails_costs_only_what_it_would_have_given(
    tmp_path: Path, profile: Profile
) -> None:
    async def run() -> tuple[Evidence, Evidence]:
        async with remembering(tmp_path, settings={"retrieval": {"auto": {"below": 1.0}}}) as (
            app,
            memory,
        ):
            fast = await app.retrieve("late train", scope=ANN, profile="fast")
            memory.failure = ModelError("the model is out")
            return fast, await app.retrieve("late train", scope=ANN, profile=profile)

    fast, evidence = asyncio.run(run())
    assert ids(evidence) == ids(fast)
    assert "read_memory: the model is out" in evidence.left_out


def test_auto_goes_on_only_where_the_ranker_is_in_doubt(tmp_path: Path) -> None:
    calls = {}
    for below in (0.0, 1.0):
        settings = {"retrieval": {"auto": {"below": below, "then": "clues"}}}
        _, memory = ask(tmp_path / str(below), clues=[SPAN], settings=settings)  # auto by default
        calls[below] = memory.calls["clues"]
    assert calls == {0.0: 0, 1.0: 1}


def test_the_settings_choose_the_profile_and_the_call_overrules_them(tmp_path: Path) -> None:
    settings = {"retrieval": {"profile": "clues"}}
    evidence, _ = ask(tmp_path / "a", clues=[SPAN], settings=settings)
    assert evidence.profile == "clues"
    evidence, memory = ask(tmp_path / "b", clues=[SPAN], settings=settings, profile="fast")
    assert evidence.profile == "fast"
    assert not memory.calls


def test_an_unknown_profile_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'thorough' is unknown; known: fast, read, clues"):
        ask(tmp_path, profile="thorough")


def test_an_operation_of_ones_own_takes_the_place_of_fast(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    few = "{retrieve_candidates: {evidence: 3}}"
    path.write_text(f"stages: [set_query, {few}, fuse_rerank, pack_evidence]")
    settings = {"retrieval": {"operation": str(path)}}
    evidence, _ = ask(tmp_path, clues=[SPAN], settings=settings, profile="clues")
    assert ids(evidence)[0] == "m2"
    assert "extract_time" not in evidence.timings


def test_the_query_is_embedded_once_and_each_text_reranked_once(tmp_path: Path) -> None:
    embedder, reranker = HashEmbedder(256), ScriptedReranker(lambda query, text: 1.0)
    ask(tmp_path, profile="clues", clues=[SPAN], embedder=embedder, reranker=reranker)
    asked = [text for kind, texts in embedder.calls if kind == "query" for text in texts]
    assert sorted(asked) == sorted([QUESTION, SPAN.text])
    scored = [text for _, texts in reranker.history for text in texts]
    assert len(scored) == len(set(scored))


def test_messages_newer_than_the_memory_are_at_no_disadvantage(tmp_path: Path) -> None:
    attention = {f"m{n}": 2.0 + n / 10 for n in range(7)}  # any question draws some everywhere
    evidence, _ = ask(
        tmp_path, "rubber boots", profile="read", covered=7, attention=attention, explain=True
    )
    assert ids(evidence)[0] == "m7"
    assert "attention" not in {part.signal for part in evidence.items[0].parts}
    others = [p.value for item in evidence.items for p in item.parts if p.signal == "attention"]
    assert min(others) < 0 < max(others)


def test_chat_takes_a_profile_and_refuses_an_unknown_one(tmp_path: Path) -> None:
    generator = ScriptedGenerator(["The cello."])

    async def run() -> Evidence:
        async with remembering(tmp_path, clues=[SPAN], generator=generator) as (app, _):
            with pytest.raises(InvalidInput, match="profile"):
                await app.chat("Hello", scope=ANN, profile="thorough")  # type: ignore[arg-type]
            reply = await app.chat(
                QUESTION, scope=ANN, session_id="now", profile="clues", budget_ms=60_000, now=NOW
            )
            return reply.evidence

    evidence = asyncio.run(run())
    assert evidence.profile == "clues"
    assert evidence.clues == (SPAN,)
