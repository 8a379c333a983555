"""Evidence within what the writer can read. Row N15 by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.documents.evidence import Passage
from memoryscope_rag.documents.memory import DocumentMemory, DocumentOptions
from memoryscope_rag.documents.vectors import IndexOptions
from memoryscope_rag.documents.writers import GeneratorWriter, fitting
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator
from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.documents.remembered import opened, options


def words(text: str) -> int:
    """A tokenizer that needs more where texts meet than for each alone, as real ones may."""
    return len(text.split()) + text.count("\n\n") * 2


def prompt(passages: Sequence[Passage]) -> str:
    return "\n\n".join([*(one.text for one in passages), "the question"])


passages = st.lists(st.integers(1, 40), max_size=12).map(
    lambda sizes: [
        Passage(" ".join(["w"] * size), "s", 0, 1, index) for index, size in enumerate(sizes)
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    passages, st.permutations(range(12)), st.integers(40, 200), st.integers(1, 150), st.booleans()
)
def test_n15_no_prompt_is_longer_than_the_context(
    found: list[Passage], order: list[int], context: int, budget: int, whole: bool
) -> None:
    ranked = [found[at] for at in order if at < len(found)]
    writer = GeneratorWriter(ScriptedGenerator([]), context, words)
    reply = 5

    async def fit() -> tuple[Passage, ...]:
        return await fitting(
            writer, ranked, prompt, reply_tokens=reply, budget_tokens=budget, whole=whole
        )

    chosen = asyncio.run(fit())
    assert asyncio.run(writer.count([prompt(chosen)]))[0] <= context - reply
    assert [one.index for one in chosen] == sorted(one.index for one in chosen)
    if not whole:
        assert sum(words(one.text) for one in chosen) <= budget


def test_n15_what_cannot_fit_is_said_with_figures() -> None:
    writer = GeneratorWriter(ScriptedGenerator([]), 40, words)
    with pytest.raises(InvalidInput, match=r"scripted has room for 5 beside a reply of 35"):
        asyncio.run(fitting(writer, [], prompt, reply_tokens=35, budget_tokens=9))
    with pytest.raises(InvalidInput, match="at least 1"):
        GeneratorWriter(ScriptedGenerator([]), 0)


LONG = "\n\n".join(
    f"Chapter {n}. In the year {1900 + n} the mill of Marlow ground {n * 7} sacks of rye, and "
    f"Ann of the {n}th house kept the count in a ledger that nobody else was let near."
    for n in range(200)
)


@pytest.mark.parametrize("evidence", ["fused", "union"])
@pytest.mark.parametrize("context", [300, 700, 2000])
def test_n15_a_long_text_never_exceeds_the_generators_context(context: int, evidence: str) -> None:
    made = DocumentOptions(
        memory=None,
        index=IndexOptions(tokens=64),
        evidence=evidence,  # type: ignore[arg-type]
        budget_tokens=100_000,
    )

    def reply(asked: Sequence[ChatMessage]) -> str:
        return "Ann kept the count." if len(asked) == 1 else "the ledger of the mill of Marlow"

    async def work() -> None:
        writer = ScriptedGenerator(repeat(reply))
        parts = {"embedder": HashEmbedder(), "generator": writer, "count_tokens": len}
        async with await DocumentMemory.open(made, context_tokens=4 * context, **parts) as memory:  # type: ignore[arg-type]
            await memory.memorize(LONG, source="mill")
            found = await memory.ask("Who kept the count in 1950?", max_tokens=50)
        assert found.evidence
        assert len(writer.history[-1][0].content) <= 4 * context - 50
        assert list(found.evidence) == sorted(found.evidence, key=lambda one: one.start)
        for one in found.evidence:
            assert one.citation == f"mill:{one.start}-{one.end}"
            assert LONG[one.start : one.end] == one.text

    asyncio.run(work())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("small") / "small"
    return str(tiny_decoder(folder, context=1024, says="Jack wins"))


@pytest.mark.parametrize("evidence", ["fused", "union"])
def test_n15_the_memorys_own_model_is_never_given_too_much(model: str, evidence: str) -> None:
    made = options(model, window=32, evidence=evidence, index=IndexOptions(tokens=32))

    async def work() -> None:
        async with await opened(model, made=made) as memory:
            await memory.memorize(LONG[:3000])
            found = await memory.ask("Who wins in Marlow?", max_tokens=300)
            assert found.text == "Jack wins"
            assert found.usage.prompt_tokens <= 1024 - 300
            assert found.evidence
            with pytest.raises(ModelError, match="does not fit"):
                await memory.ask("Who wins? " * 70)

    asyncio.run(work())
