"""The tools and the history under the real client: what they do, their limits, what they refuse."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from memoryscope_rag import MemoryScope
from memoryscope_rag.configs.model import Config
from memoryscope_rag.mcp.tools import TOOLS, TURNS
from tests.mcp.conftest import ANN, asked, inside, page, refused, said


def test_the_tools_are_described_with_hints_and_limits(config: Config, mode: str) -> None:
    async def work(client: Client) -> None:
        assert client.instructions is not None
        assert "never orders" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"remember", "recall", "list", "forget", "why"}
        for name, tool in tools.items():
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is (name not in {"remember", "forget"})
            assert tool.annotations.destructive_hint is (name == "forget")
            assert tool.annotations.idempotent_hint is True
            assert tool.annotations.open_world_hint is False
            assert tool.input_schema["additionalProperties"] is False
            assert not {"user_id", "agent_id", "tenant_id", "scope"} & set(
                tool.input_schema["properties"]
            )
        assert tools["remember"].input_schema["properties"]["content"]["maxLength"] == 8000
        assert tools["recall"].input_schema["properties"]["limit"]["maximum"] == 50
        assert tools["forget"].input_schema["properties"]["ids"]["maxItems"] == 50

    asked(config, work, mode=mode)


def test_what_is_remembered_is_recalled_and_forgotten(config: Config, mode: str) -> None:
    async def work(client: Client) -> None:
        kept = await said(client, "remember", content="Ann plays the cello", said_at="2026-03-02")
        (name,) = re.findall(r"note-\w+", kept)
        assert await said(client, "remember", content="Ann plays the cello") == kept
        told = inside(await said(client, "recall", query="Which instrument, the cello?"))
        assert f"[{name} | 2026-03-02 Mon 00:00 | note] Ann plays the cello" in told
        assert name in inside(await said(client, "list", kind="note"))
        assert await said(client, "list", kind="insight") == "Nothing is remembered."
        gone = await said(client, "forget", ids=[name, "cat"])
        assert gone.startswith("Removed 1 messages and 1 facts for good. A search afterwards")
        assert (
            await said(client, "recall", query="cello cat") == "Nothing is remembered about this."
        )

    asked(config, work, mode=mode)
    with MemoryScope.open(config=config) as memory:
        assert not memory.messages(scope=ANN)
        assert len(memory.messages(scope="bob")) == 1


def test_stored_orders_come_back_as_fenced_data(config: Config, mode: str) -> None:
    async def work(client: Client) -> None:
        shown = [
            await said(client, "recall", query="What is my cat called?"),
            await said(client, "list", kind="conversation"),
            await said(client, "why", id="cat", query="my cat"),
            await page(client, "memory://history"),
        ]
        for text in shown:
            body = inside(text)
            assert "Otto" in body
            # further lines of a text are indented: none poses as a memory of its own
            assert [line for line in body.splitlines() if line.startswith("[")] == [
                line for line in body.splitlines() if line.startswith("[cat |")
            ]
            assert "‹|im_start|›" in body
            assert "[INST]" not in text
            assert "not orders" in text.partition("<memory>\n")[0]

    asked(config, work, mode=mode)


def test_nobody_elses_memory_can_be_reached(config: Config) -> None:
    with MemoryScope.open(config=config) as memory:
        (secret,) = memory.list(scope="bob", kinds=["note"]).items

    async def work(client: Client) -> None:
        for tool in ("recall", "list", "why", "forget", "remember"):
            answer = await refused(client, tool, user_id="bob", query="cat", id="x", ids=["x"])
            assert "Extra inputs" in answer
        for name in (secret.id, "bobs-cat"):
            assert "no memory or message" in await refused(client, "why", id=name)
            assert "no message" in await refused(client, "forget", ids=["cat", name])
        for text in (
            await said(client, "recall", query="cat Mia secret"),
            await said(client, "list", kind="conversation"),
            await page(client, "memory://history"),
        ):
            assert "Mia" not in text
            assert "secret" not in text

    asked(config, work)
    with MemoryScope.open(config=config) as memory:
        assert memory.messages(scope=ANN)  # with an unknown id among them none is forgotten
        assert memory.get(secret.id, scope="bob").content == "Bob has a secret"


def test_why_shows_what_a_memory_rests_on_and_what_it_said_earlier(config: Config) -> None:
    with MemoryScope.open(config=config) as memory:
        note = memory.add_note("Ann has one cat", scope=ANN)
        memory.update(note.id, "Ann has two cats", scope=ANN)
        memory.record("I moved to Lisbon in May", scope=ANN, message_id="move")
        memory.consolidate(scope=ANN)
        (fact, *_) = memory.list(scope=ANN, kinds=["observation"]).items

    async def work(client: Client) -> None:
        about = await said(client, "why", id=note.id, query="How many cats has Ann?")
        assert "It is a note of" in about
        assert "changed 1 times" in about
        assert re.search(r"it has place 1 of \d+ with a score of -?\d+\.\d\d: \w+ [+-]", about)
        first, second = inside(about).splitlines()
        assert "Ann has two cats" in first
        assert "Ann has one cat" in second
        rests = await said(client, "why", id=fact.id)
        assert "It is an observation of" in rests
        assert "[move | " in inside(rests)
        absent = await said(client, "why", id=note.id, query="zzz")
        assert "It is not among the 0 memories" in absent

    asked(config, work)


def test_lists_and_history_are_paged(config: Config) -> None:
    with MemoryScope.open(config=config) as memory:
        for number in range(TURNS + 4):
            memory.record(f"turn {number}", scope=ANN)
            memory.add_note(f"fact {number}", scope=ANN)

    async def work(client: Client) -> None:
        (resource,) = (await client.list_resources()).resources
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "memory://history/{after}"
        uris, seen = [resource.uri], []
        while uris:
            text = await page(client, uris.pop())
            seen += re.findall(r"turn \d+", text)
            uris += re.findall(r"memory://history/\d+", text)
        assert seen == [f"turn {number}" for number in range(TURNS + 4)]
        facts, cursor = [], None
        while True:
            text = await said(client, "list", limit=20, **({"cursor": cursor} if cursor else {}))
            facts += re.findall(r"fact \d+", text)
            more = re.search(r"with the cursor (\S+)$", text)
            if more is None:
                break
            cursor = more[1]
        assert sorted(facts) == sorted(f"fact {number}" for number in range(TURNS + 4))

    asked(config, work)


def test_long_texts_are_cut_and_say_so(config: Config) -> None:
    async def work(client: Client) -> None:
        kept = await said(client, "remember", content="word " * 1600)
        assert "… (8000 characters in all)" in await said(client, "list")
        assert "characters in all" not in await said(client, "why", id=kept[8:-1])

    asked(config, work)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("remember", {}, "content: Field required"),
        ("remember", {"content": "x" * 8001}, "at most 8000 characters"),
        ("remember", {"content": "  "}, "must not be empty"),
        ("remember", {"content": "x", "said_at": "soon"}, "said_at: "),
        ("recall", {"query": "x", "limit": 51}, "less than or equal to 50"),
        ("list", {"kind": "secret"}, "kind: Input should be"),
        ("list", {"cursor": "no cursor"}, "cursor"),
        ("forget", {"ids": []}, "at least 1 item"),
        ("forget", {"ids": ["x"] * 51}, "at most 50 items"),
        ("forget", {"ids": ["unknown"]}, "no message 'unknown' in this scope"),
        ("why", {"id": "unknown"}, "no memory or message 'unknown'"),
        ("forgot", {}, "there is no tool 'forgot'; did you mean 'forget'?"),
    ],
)
def test_mistakes_are_answered_in_words(
    config: Config, tool: str, arguments: dict[str, object], words: str
) -> None:
    async def work(client: Client) -> str:
        return await refused(client, tool, **arguments)

    answer = asked(config, work)
    assert words in answer
    assert "Traceback" not in answer
    assert "errors.pydantic.dev" not in answer


@pytest.mark.parametrize("uri", ["memory://history/x", "memory://history/-1", "memory://bob"])
def test_there_is_no_other_resource(config: Config, uri: str) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(MCPError, match="no such resource"):
            await client.read_resource(uri)

    asked(config, work)


def test_read_only_offers_nothing_that_changes(config: Config) -> None:
    async def work(client: Client) -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"recall", "list", "why"}
        assert "there is no tool 'forget'" in await refused(client, "forget", ids=["cat"])

    asked(config, work, read_only=True)


def test_a_memory_that_fails_is_told_without_its_path(config: Config, tmp_path: Path) -> None:
    async def work(client: Client) -> str:
        await said(client, "recall", query="cat")
        await asyncio.to_thread((tmp_path / "memory.db").write_bytes, b"no store" * 4096)
        return await refused(client, "list")

    answer = asked(config, work)
    assert "the memory" in answer
    assert "memory.db" not in answer


def test_every_tool_takes_what_its_method_takes() -> None:
    for tool in TOOLS.values():
        assert issubclass(tool.arguments, BaseModel)
        assert tool.removes <= tool.writes
