"""MemoRAG's tasks, over a real index and scripted or tiny models. Rows P17 and P20 by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from memoryscope_rag.beacon.memory import BeaconMemory, MemoryOptions
from memoryscope_rag.beacon.tasks import Outcome, Tasks
from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.errors import ConfigError, InvalidInput
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.openai import OpenAIGenerator
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator
from memoryscope_rag.testing.scripted_server import scripted_server
from memoryscope_rag.testing.tiny_model import tiny_decoder
from memoryscope_rag.testing.wire import openai_chat

TEXT = "It rains.\n\nJack wins every race.\n\nOtto hates trams.\n\nClara lives in Porto."
Carry = Callable[[Tasks], Coroutine[Any, Any, Outcome]]
Do = Callable[..., Outcome]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("taught") / "taught"
    return str(tiny_decoder(folder, context=4096, says="Jack wins"))


@pytest.fixture
def do(model: str) -> Do:
    """Carries out a task with a memory and an index of the text."""

    def carried(work: Carry, **parts: Any) -> Outcome:
        async def whole() -> Outcome:
            index = DenseIndex(HashEmbedder())
            for paragraph in TEXT.split("\n\n"):
                await index.add(paragraph)

            async def search(queries: Sequence[str]) -> list[str]:
                return [chunk.text for chunk in await index.search_union(queries, hits=1)]

            options = MemoryOptions(model=model, window=64)
            async with await BeaconMemory.open(options, threads=1) as memory:
                await memory.memorize(TEXT)
                return await work(Tasks(memory, **{"search": search, **parts}))

        return asyncio.run(whole())

    return carried


def test_p17_qa_answers_from_memory_alone(do: Do) -> None:
    outcome = do(lambda tasks: tasks.carry_out("qa", "Who is fast?"), search=None)
    assert (outcome.reply.text, outcome.clues, outcome.passages) == ("Jack wins", (), ())


def test_p17_memorag_searches_for_its_clues(do: Do) -> None:
    writer = ScriptedGenerator(["Jack."])
    outcome = do(lambda tasks: tasks.carry_out("memorag", "Where is Porto?"), generator=writer)
    assert outcome.reply.text == "Jack."
    assert [clue.kind for clue in outcome.clues] == ["span", "surrogate"]
    assert outcome.passages == ("Jack wins every race.", "Clara lives in Porto.")  # in text order
    (asked,) = writer.history[0]
    assert asked.role == "user"
    assert asked.content.startswith("Jack wins every race.\n\nClara lives in Porto.\n\nWhere is")
    own = do(lambda tasks: tasks.carry_out("memorag", "Where is Porto?"))
    assert own.reply.text == "Jack wins"


def test_p17_the_memorys_answer_and_a_template_of_ones_own(do: Do) -> None:
    writer = ScriptedGenerator(["Jack."])
    outcome = do(
        lambda tasks: tasks.carry_out(
            "memorag", "Where is $Porto?", draft=True, template="<$context> <$input>"
        ),
        generator=writer,
    )
    assert [clue.kind for clue in outcome.clues] == ["span", "surrogate", "draft"]
    text = writer.history[0][0].content
    assert text.startswith("<Jack wins every race.")
    assert text.endswith("\n\nA first guess, from memory: Jack wins> <Where is $Porto?>")
    with pytest.raises(ConfigError, match=r"\$context"):
        do(lambda tasks: tasks.carry_out("memorag", "Where?", template="no marks"))


def test_p17_summarize_searches_for_the_main_points(do: Do) -> None:
    writer = ScriptedGenerator(["A race."])
    outcome = do(lambda tasks: tasks.carry_out("summarize"), generator=writer)
    assert (outcome.reply.text, outcome.passages) == ("A race.", ("Jack wins every race.",))
    assert "Summarize" in writer.history[0][0].content


@pytest.mark.parametrize("endpoint", ["openai", "deepseek"])
def test_p20_a_server_writes_the_answer(do: Do, endpoint: str) -> None:
    with scripted_server([openai_chat("Jack.")]) as server:
        writer = OpenAIGenerator(
            "m", endpoint=ENDPOINTS[endpoint], base_url=server.url, api_key="k"
        )

        async def work(tasks: Tasks) -> Outcome:
            try:
                return await tasks.carry_out("memorag", "Where is Porto?", max_tokens=99)
            finally:
                await writer.close()

        assert do(work, generator=writer).reply.text == "Jack."
    assert "Clara lives in Porto." in server.requests[0].body["messages"][0]["content"]
    assert 99 in server.requests[0].body.values()


def test_p17_an_unknown_task_is_refused(do: Do) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'memorag'"):
        do(lambda tasks: tasks.carry_out("memorg", "Who?"))
    with pytest.raises(InvalidInput, match="needs one"):
        do(lambda tasks: tasks.carry_out("memorag", "Who?"), search=None)
