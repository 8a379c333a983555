"""MemoRAG's tasks over documents, with taught and random tiny models. Rows by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import pytest

from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.documents.memory import DocumentAnswer, DocumentMemory, DocumentOptions
from memoryscope_rag.errors import ConfigError, InvalidInput, ModelError
from memoryscope_rag.models.dashscope import DashScopeGenerator
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.openai import OpenAIGenerator
from memoryscope_rag.models.retrying import RetryingGenerator, RetryPolicy
from memoryscope_rag.ports import ChatMessage, Generator
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.tiny_model import tiny_decoder
from memoryscope_rag.testing.wire import dashscope_chat, openai_chat, openai_error
from tests.documents.remembered import SMALL, TEXT, opened, options

T = TypeVar("T")
Work = Callable[[DocumentMemory], Awaitable[T]]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("taught") / "taught"
    return str(tiny_decoder(folder, context=4096, says="Jack wins"))


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("random") / "random", context=4096))


def do(model: str, work: Work[T], **parts: Any) -> T:
    """What ``work`` gives with a memory of the text."""

    async def whole() -> T:
        async with await opened(model, **parts) as memory:
            await memory.memorize(TEXT, source="tale")
            return await work(memory)

    return asyncio.run(whole())


def ask(model: str, *asked: Any, parts: dict[str, Any] | None = None, **more: Any) -> Any:
    return do(model, lambda memory: memory.ask(*asked, **more), **(parts or {}))


# ---------------------------------------------------------------- the tasks


@pytest.mark.parametrize("compressor", ["select", "full", "gist", "beacon"])
def test_p17_qa_answers_from_memory_alone(taught: str, compressor: str) -> None:
    made = {"made": options(taught, compressor=compressor)}
    found = ask(taught, "Who is fast?", "qa", parts=made)
    assert (found.text, found.clues, found.evidence) == ("Jack wins", (), ())
    assert (found.model, found.finish) == ("taught", "stop")


@pytest.mark.parametrize("compressor", ["select", "full", "gist", "beacon"])
def test_p17_memorag_searches_for_its_clues(taught: str, compressor: str) -> None:
    writer = ScriptedGenerator(["Jack."])
    parts = {"generator": writer, "made": options(taught, compressor=compressor, hits=1)}
    found = ask(taught, "Where is Porto?", parts=parts)
    assert (found.text, found.model) == ("Jack.", "scripted")
    assert {clue.text for clue in found.clues} == {"Jack wins"}
    assert [passage.text for passage in found.evidence] == [
        "Jack wins every race.",
        "Clara lives in Porto.",
    ]  # in text order
    assert found.evidence[1].found_by == ("query",)
    assert set(found.evidence[0].found_by) <= {"clue 1", "clue 2"}
    (asked,) = writer.history[0]
    assert asked.role == "user"
    assert asked.content.startswith("Jack wins every race.\n\nClara lives in Porto.\n\nWhere is")
    assert set(found.timings) == {"clues", "search", "write"}


def test_p17_without_a_generator_the_memorys_model_writes(taught: str) -> None:
    found = ask(taught, "Where is Porto?")
    assert (found.text, found.model) == ("Jack wins", "taught")
    assert found.usage.completion_tokens > 0


def test_p17_the_memorys_answer_and_a_template_of_ones_own(taught: str) -> None:
    writer = ScriptedGenerator(["Jack."])
    found = ask(
        taught,
        "Where is $Porto?",
        parts={"generator": writer, "made": options(taught, hits=1)},
        use_memory_answer=True,
        template="<$context> <$input>",
    )
    assert [clue.kind for clue in found.clues] == ["span", "surrogate", "draft"]
    assert found.draft == "Jack wins"
    text = writer.history[0][0].content
    assert text.startswith("<Jack wins every race.")
    assert text.endswith("\n\nA first guess, from memory: Jack wins> <Where is $Porto?>")
    own = ask(taught, "Who?", "qa", template="Say who: $question")
    assert own.text == "Jack wins"


def test_p17_summarize_searches_for_the_main_points(taught: str) -> None:
    writer = ScriptedGenerator(["A race."])
    parts = {"generator": writer, "made": options(taught, hits=1)}
    found = ask(taught, task="summarize", parts=parts)
    assert (found.text, [clue.text for clue in found.clues]) == ("A race.", ["Jack wins"])
    assert [passage.text for passage in found.evidence] == ["Jack wins every race."]
    assert "Summarize" in writer.history[0][0].content


def test_p17_chinese(taught: str) -> None:
    async def work(memory: DocumentMemory) -> DocumentAnswer:
        await memory.memorize("小明住成都。\n\n小红爱下雨。", source="故事")
        return await memory.ask("小明住在哪里？")

    writer = ScriptedGenerator(["成都"])
    found = do(taught, work, generator=writer)
    assert found.text == "成都"
    assert found.evidence[0].text == "小明住成都。"
    assert found.evidence[0].citation == "故事:0-6"
    assert "请根据以上几段" in writer.history[0][0].content


@pytest.mark.parametrize(
    ("task", "query", "more", "error", "said"),
    [
        ("memorg", "Who?", {}, InvalidInput, "did you mean 'memorag'"),
        ("memorag", " ", {}, InvalidInput, "empty"),
        ("summarize", "Who?", {}, InvalidInput, "not for the task"),
        ("qa", "Who?", {"use_memory_answer": True}, InvalidInput, "memorag"),
        ("memorag", "Who?", {"max_tokens": 0}, InvalidInput, "at least 1"),
        ("memorag", "Where?", {"template": "no marks"}, ConfigError, r"\$context \$input"),
        ("memorag", "Where?", {"template": "$context $query"}, ConfigError, r"\$input"),
        ("qa", "Where?", {"template": "$input"}, ConfigError, r"\$question"),
        ("summarize", "", {"template": "$input"}, ConfigError, r"\$context"),
    ],
)
def test_p17_what_makes_no_sense_is_refused_before_a_model_is_asked(
    taught: str, task: str, query: str, more: dict[str, Any], error: type[Exception], said: str
) -> None:
    writer = ScriptedGenerator([])
    with pytest.raises(error, match=said):
        ask(taught, query, task, parts={"generator": writer}, **more)
    assert writer.calls == 0


def test_an_empty_memory_says_so(taught: str) -> None:
    async def work() -> None:
        async with await opened(taught) as memory:
            with pytest.raises(InvalidInput, match="memorize something first"):
                await memory.ask("Who?")
            with pytest.raises(InvalidInput, match="memorize something first"):
                await memory.save(Path("never"))

    asyncio.run(work())


def test_a_clue_that_nothing_echoes_is_dropped_and_counted(taught: str) -> None:
    async def work(memory: DocumentMemory) -> DocumentAnswer:
        await memory.memorize("Otto hates trams.\n\nClara lives in Porto.")
        return await memory.ask("Who lives in Porto?")  # all clues are "Jack wins"

    found = do(taught, work, generator=ScriptedGenerator(["Clara."]))
    assert found.clues == ()
    assert "clues that nothing echoes: 1" in found.left_out  # the span was dropped by the memory
    assert {name for one in found.evidence for name in one.found_by} == {"query"}


# ---------------------------------------------------------------- several questions at once


@pytest.mark.parametrize("task", ["memorag", "qa"])
@pytest.mark.parametrize("compressor", ["select", "gist"])
def test_p17_a_batch_gives_what_single_questions_give(
    random: str, task: Any, compressor: str
) -> None:
    queries = ["Where does Clara live?", "Who hates trams?", "Who wins?"]

    async def work(memory: DocumentMemory) -> tuple[list[Any], list[Any]]:
        single = [await memory.ask(query, task, max_tokens=9) for query in queries]
        return single, await memory.ask_many(queries, task, max_tokens=9)

    single, batch = do(random, work, made=options(random, compressor=compressor))
    for one, other in zip(single, batch, strict=True):
        for name in ("text", "query", "clues", "evidence", "draft", "usage", "left_out"):
            assert getattr(one, name) == getattr(other, name), name


def test_a_batch_is_a_list_and_no_summary(taught: str) -> None:
    async def work(memory: DocumentMemory) -> None:
        assert await memory.ask_many([]) == []
        with pytest.raises(InvalidInput, match="one string"):
            await memory.ask_many("Who?")
        with pytest.raises(InvalidInput, match="call ask"):
            await memory.ask_many(["Who?"], "summarize")

    do(taught, work)


# ---------------------------------------------------------------- evidence


def test_p19_union_is_the_three_nearest_of_each_in_document_order(taught: str) -> None:
    writer = ScriptedGenerator(["Jack."])
    parts = {"generator": writer, "made": options(taught, evidence="union", budget_tokens=9999)}

    async def union(queries: list[str]) -> list[int]:
        index = DenseIndex(HashEmbedder(), SMALL)
        await index.add(TEXT)
        return [chunk.index for chunk in await index.search_union(queries)]

    found = ask(taught, "Where is Porto?", parts=parts)
    queries = [*(clue.text for clue in found.clues), "Where is Porto?"]
    assert [passage.index for passage in found.evidence] == asyncio.run(union(queries))
    assert found.left_out == ()


def test_p19_fused_evidence_keeps_the_budget_and_the_best(taught: str) -> None:
    made = options(taught, budget_tokens=20)
    found = ask(taught, "Where is Porto?", parts={"made": made})
    # bytes are tokens here: one passage of about twenty fits at most
    assert len(found.evidence) <= 1
    wide = ask(taught, "Where is Porto?", parts={"made": options(taught, budget_tokens=60)})
    assert "Clara lives in Porto." in {passage.text for passage in wide.evidence}
    assert any("beyond the budget" in said for said in found.left_out)


# ---------------------------------------------------------------- behind an API


def served(name: str, url: str) -> Generator:
    if name == "dashscope":
        return DashScopeGenerator("m", base_url=url, api_key="k")
    return OpenAIGenerator("m", endpoint=ENDPOINTS[name], base_url=url, api_key="k")


@pytest.mark.parametrize("endpoint", ["openai", "deepseek", "dashscope"])
@pytest.mark.parametrize("task", ["memorag", "summarize"])
def test_p20_a_server_writes_the_answer(taught: str, endpoint: str, task: Any) -> None:
    reply = dashscope_chat("Jack.") if endpoint == "dashscope" else openai_chat("Jack.")
    with scripted_server([reply]) as server:
        writer = served(endpoint, server.url)

        async def work(memory: DocumentMemory) -> DocumentAnswer:
            try:
                query = "" if task == "summarize" else "Who wins?"
                return await memory.ask(query, task, max_tokens=99)
            finally:
                await writer.close()

        found = do(taught, work, generator=writer)
    assert (found.text, found.usage.prompt_tokens) == ("Jack.", 7)
    assert "Jack wins every race." in str(server.requests[0].body)
    assert "99" in str(server.requests[0].body)


def test_p20_a_server_that_fails_is_asked_again(taught: str) -> None:
    with scripted_server([openai_error(503), openai_chat("Jack.")]) as server:
        inner = served("openai", server.url)
        writer = RetryingGenerator(inner, RetryPolicy(attempts=2, deadline_s=20.0))

        async def work(memory: DocumentMemory) -> DocumentAnswer:
            try:
                return await memory.ask("Who wins?")
            finally:
                await writer.close()

        assert do(taught, work, generator=writer).text == "Jack."
    assert len(server.requests) == 2


def reader(request: WireRequest) -> WireReply:
    """A chat model that retells, recalls and answers by what stands in its prompt."""
    messages = request.body["messages"]
    asked = messages[-1]["content"]
    if "Retell" in asked:
        return openai_chat(" ".join(asked.split()[:40]))
    if "Copy the sentences" in asked:
        return openai_chat("Clara lives in Porto.\nElvis lives on Mars with green dogs.")
    if "precise questions" in asked:
        return openai_chat("In which city does Clara live?")
    if "main points" in asked:
        return openai_chat("1. Jack wins every race.\n2. Clara lives in Porto.")
    return openai_chat(f"answered with {len(messages)} messages")


def test_p20_lite_without_any_model_of_this_machine(tmp_path: Path) -> None:
    made = DocumentOptions(memory=None, index=SMALL, hits=1)

    async def work(url: str) -> None:
        writer = served("openai", url)
        try:
            parts: Any = {"embedder": HashEmbedder(), "generator": writer}
            async with await DocumentMemory.open(made, **parts) as memory:
                told: list[tuple[int, int]] = []
                await memory.memorize(
                    TEXT, source="tale", progress=lambda done, total: told.append((done, total))
                )
                assert told[-1][0] == told[-1][1] > 0
                await memory.append(
                    "Tea is cold. " * 400, source="tea"
                )  # so long that it is retold
                stats = await memory.stats()
                assert stats.memory.compressor == "gist texts"
                assert (stats.sources, stats.memory.messages) == (("tale", "tea"), 2)
                found = await memory.ask("Where does Clara live?")
                assert [clue.text for clue in found.clues] == [
                    "Clara lives in Porto.",
                    "In which city does Clara live?",
                ]  # what nothing echoes is dropped
                assert found.clues[0].provenance == ("tale",)
                assert "Clara lives in Porto." in {one.text for one in found.evidence}
                assert found.text == "answered with 1 messages"
                from_memory = await memory.ask("Who?", "qa")
                assert from_memory.text == "answered with 3 messages"
                summary = await memory.ask(task="summarize")
                assert [clue.text for clue in summary.clues] == [
                    "Jack wins every race.",
                    "Clara lives in Porto.",
                ]
                with pytest.raises(InvalidInput, match="already"):
                    await memory.append("Again.", source="tea")
                await memory.save(tmp_path / "lite")
            async with await DocumentMemory.load(tmp_path / "lite", **parts) as memory:
                again = await memory.ask("Where does Clara live?")
                assert (again.clues, again.evidence) == (found.clues, found.evidence)
                assert (await memory.stats()).memory == stats.memory
            with pytest.raises(InvalidInput, match="generator"):
                await DocumentMemory.load(tmp_path / "lite", embedder=HashEmbedder())
        finally:
            await writer.close()

    with scripted_server(reader) as server:
        asyncio.run(work(server.url))
    assert any("Retell" in str(request.body) for request in server.requests)


def test_p20_gists_beyond_the_servers_context_are_refused() -> None:
    made = DocumentOptions(memory=None, index=SMALL)

    async def work() -> None:
        writer = ScriptedGenerator(repeat("Something long was told. " * 40))
        parts: Any = {"embedder": HashEmbedder(), "generator": writer, "context_tokens": 500}
        async with await DocumentMemory.open(made, **parts) as memory:
            await memory.memorize("Tea is cold. " * 3000)
            with pytest.raises(ModelError, match="larger window"):
                await memory.ask("Who?", "qa")

    asyncio.run(work())


def test_p20_gists_by_a_generator_and_a_memory_of_this_machine(taught: str) -> None:
    def tells(asked: Sequence[ChatMessage]) -> str:
        return asked[0].content.strip()[:40]

    writer = ScriptedGenerator(["Jack."])
    parts = {
        "made": options(taught, compressor="gist"),
        "retold_by": ScriptedGenerator(repeat(tells)),
        "generator": writer,
    }
    found = ask(taught, "Who wins?", parts=parts)
    assert found.text == "Jack."
    assert writer.calls == 1
    assert parts["retold_by"].calls >= 1


def test_neither_a_model_nor_a_generator_is_refused(taught: str) -> None:
    with pytest.raises(InvalidInput, match="generator"):
        asyncio.run(opened(taught, made=DocumentOptions(memory=None)))
    with pytest.raises(InvalidInput, match="context_tokens"):
        asyncio.run(opened(taught, context_tokens=99))
    with pytest.raises(InvalidInput, match="fused"):
        DocumentOptions(evidence="all")  # type: ignore[arg-type]


# ---------------------------------------------------------------- figures


def test_p21_the_figures_of_a_memory_of_documents(taught: str, tmp_path: Path) -> None:
    (tmp_path / "more.md").write_text("Tea is cold.", "utf-8")

    async def work(memory: DocumentMemory) -> Any:
        before = await memory.stats()
        return before, await memory.append([tmp_path / "more.md"])

    before, after = do(taught, work)
    assert before.sources == ("tale",)
    assert after.sources == ("tale", str(tmp_path / "more.md"))
    assert (before.chunks, after.chunks) == (4, 5)
    assert before.characters == len(TEXT) - 3 * len("\n\n")
    assert (after.embedder, after.writer) == ("hash", "taught")
    assert after.memory.tokens == before.memory.tokens + len("Tea is cold.\n\n")
    assert after.memory.ratio == after.memory.tokens / after.memory.rows
    assert after.seconds["memory"] > before.seconds["memory"] > 0
    assert after.seconds["index"] > before.seconds["index"] > 0
