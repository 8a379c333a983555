"""Clues that nothing in memory echoes are dropped, and no evidence is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoryscope_rag import AsyncMemoryScope, Evidence, MemoryScope, load_config
from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.schema import Clue
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedMemory
from tests.clues.recalled import RECALLED
from tests.clues.remembering import ANN, TURNS, ids, messages, remembering

WITH = """
stages:
  - [read_message, set_query, extract_time]
  - recall_clues
  - query_clues
  - retrieve_candidates
  - support_clues
  - fuse_rerank
  - pack_evidence
"""
WITHOUT = WITH.replace("  - support_clues\n", "")


@dataclass
class Figures:
    """Of all questions: the clues searched by and dropped, and whether evidence was found."""

    made_up: int = 0
    borne_out: int = 0
    dropped: int = 0
    found: list[bool] = field(default_factory=list)


async def figures(folder: Path, stages: str) -> Figures:
    """The questions of RECALLED over the sample history with the default embedder."""
    recalled = {
        one.question: [Clue(text, "span") for text in (*one.borne_out, *one.made_up)]
        for one in RECALLED
    }
    memory = ScriptedMemory(clues={ANN: recalled.__getitem__})
    (folder / "own.yaml").write_text(stages)
    operation = {"retrieval": {"operation": str(folder / "own.yaml")}}
    config = load_config(overrides={**operation, "schedule": {"close_s": 0}})
    result = Figures()
    async with await AsyncMemoryScope.open(folder / "m.db", config=config, memory=memory) as app:
        if not await app.messages(scope=ANN):
            history = resources.files("memoryscope_rag.cli") / "sample" / "ann.jsonl"
            await app.import_(history.read_text("utf-8").splitlines(), scope=ANN)
        memory.cover(ANN, await app.messages(scope=ANN))
        for one in RECALLED:
            evidence = await app.retrieve(one.question, scope=ANN, limit=5, profile="fast")
            texts = {clue.text for clue in evidence.clues}
            result.made_up += len(texts.intersection(one.made_up))
            result.borne_out += len(texts.intersection(one.borne_out))
            result.dropped += evidence.unsupported
            result.found.append(any(one.answer in item.node.content for item in evidence))
    return result


def test_n14_most_made_up_clues_are_dropped_at_no_loss_of_evidence(tmp_path: Path) -> None:
    async def run() -> tuple[Figures, Figures]:
        return await figures(tmp_path, WITHOUT), await figures(tmp_path, WITH)

    plain, filtered = asyncio.run(run())
    before = plain.made_up / (plain.made_up + plain.borne_out)
    after = filtered.made_up / (filtered.made_up + filtered.borne_out)
    assert before > 0.45
    assert after <= before / 2
    assert sum(filtered.found) >= sum(plain.found) - 0.01 * len(RECALLED)
    assert plain.dropped == 0
    assert filtered.dropped >= plain.made_up - filtered.made_up


def test_a_clue_that_the_memory_bears_out_is_kept(tmp_path: Path) -> None:
    made_up = "A tortoise under the stove"

    async def run() -> tuple[Evidence, ...]:
        found = []
        for provenance in ((), ("m6",)):
            clues = [Clue(made_up, "span", provenance=provenance)]
            folder = tmp_path / str(len(provenance))
            async with remembering(folder, clues=clues) as (app, _):
                found.append(await app.retrieve("Which pet?", scope=ANN, profile="clues"))
        return tuple(found)

    alone, borne_out = asyncio.run(run())
    assert (alone.clues, alone.unsupported) == ((), 1)
    assert (len(borne_out.clues), borne_out.unsupported) == (1, 0)
    assert alone.profile == "clues"


# ---------------------------------------------------------------- whatever a clue says

FILLER = tuple(f"number {n} about nothing, {n % 7} and {n % 11}" for n in range(300))
CLUES = st.lists(
    st.builds(
        Clue,
        st.one_of(
            st.sampled_from(TURNS),
            st.text(max_size=40),
            st.lists(st.sampled_from(" ".join((*TURNS, *FILLER)).split()), max_size=6).map(
                " ".join
            ),
        ),
        st.sampled_from(["span", "surrogate", "draft"]),
        provenance=st.lists(st.sampled_from(["m1", "m77", "gone"]), max_size=2).map(tuple),
    ),
    max_size=9,
)


@dataclass
class Script:
    """The clues that the memory recalls next, and the messages that draw attention."""

    clues: Sequence[Clue] = ()
    attention: dict[str, float] = field(default_factory=dict)


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MemoryScope, Script]]:
    script = Script()
    memory = ScriptedMemory(
        clues={ANN: lambda query: script.clues}, attention={ANN: lambda query: script.attention}
    )
    folder = tmp_path_factory.mktemp("scripted")
    config = load_config(overrides={"schedule": {"close_s": 0}})
    with MemoryScope.open(
        folder / "m.db", config=config, embedder=HashEmbedder(), memory=memory
    ) as app:
        recorded = app.record_many(messages((*TURNS, *FILLER)), scope=ANN)
        memory.cover(ANN, [one.message for one in recorded])
        yield app, script


once = count()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    CLUES,
    st.dictionaries(st.sampled_from([f"m{n}" for n in range(300)]), st.floats(-2, 5), max_size=50),
    st.sampled_from(["nothing about the canal", "late train", "number 5", "云"]),
    st.sampled_from(["read", "clues", "deep"]),
)
def test_no_clue_takes_away_what_fast_finds(
    scripted: tuple[MemoryScope, Script],
    clues: list[Clue],
    attention: dict[str, float],
    query: str,
    profile: str,
) -> None:
    app, script = scripted
    script.clues, script.attention = clues, attention
    query = f"{query} {next(once)}x"  # answers of a memory are kept by query
    fast = app.retrieve(query, scope=ANN, limit=1000, floor=False, profile="fast")
    evidence = app.retrieve(query, scope=ANN, limit=1000, floor=False, profile=profile)  # type: ignore[arg-type]
    assert set(ids(fast)) <= set(ids(evidence))
    assert evidence.unsupported <= len(clues) + 8
    assert evidence.left_out == ()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CLUES, st.integers(0, 400))
def test_n15_the_evidence_is_within_its_budget_in_order_of_time_and_cites_messages(
    scripted: tuple[MemoryScope, Script], clues: list[Clue], budget: int
) -> None:
    app, script = scripted
    script.clues, script.attention = clues, {"m3": 2.0, "m9": 1.0}
    evidence = app.retrieve(
        f"nothing about the canal {next(once)}x",
        scope=ANN,
        floor=False,
        profile="deep",
        budget_tokens=budget,
    )
    lines = evidence.text.splitlines()
    assert evidence.tokens <= budget
    assert sum(estimate_tokens(line.partition("] ")[2]) for line in lines) <= budget
    stamps = [line.split(" | ")[1] for line in lines]
    assert stamps == sorted(stamps)
    known = {f"m{n}" for n in range(len(TURNS) + len(FILLER))}
    assert {line.removeprefix("[").split(" | ")[0] for line in lines} <= known
