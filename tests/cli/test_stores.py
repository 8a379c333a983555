"""store migrate and store outbox."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALICE, entry, message
from tests.cli.conftest import Cli
from tests.stores.doors import Door
from tests.stores.test_outbox import delivered

ANN = ("--user", "ann")


def test_a_store_is_copied_and_compared(cli: Cli, in_tmp: Path) -> None:
    for number in range(3):
        cli("record", f"text {number}", *ANN, "--id", f"m{number}")
    note = cli("add", "likes tea", *ANN).out.strip()
    cli("update", note, "likes coffee", *ANN)
    cli("record", "hello", "--user", "ben")
    where = ("--from", "memory.db", "--to", "copy.db")
    told = cli("store", "migrate", *where).out
    assert told.startswith("4 messages and 5 nodes of 2 scopes are in both, 9 of them copied now")
    again = cli("store", "migrate", *where).out
    assert again.replace("0 of them", "9 of them") == told
    for command in (("list", *ANN), ("history", note, *ANN), ("export", *ANN)):
        assert cli(*command).out == cli(*command, "--store", "copy.db").out
    back = cli("store", "migrate", "--from", "copy.db", "--to", "back.db").out
    assert back.rpartition(" ")[2] == told.rpartition(" ")[2]
    cli("forget", *ANN, "--all", "--yes", "--store", "back.db")
    assert len(cli("list", *ANN).rows) == 4


def test_what_cannot_be_copied(cli: Cli, in_tmp: Path) -> None:
    none = cli("store", "migrate", "--from", "none.db", "--to", "copy.db", code=3)
    assert "there is no store at none.db" in none.err
    assert not (in_tmp / "copy.db").exists()
    cli("record", "one", *ANN, "--id", "m1")
    same = cli("store", "migrate", "--from", "memory.db", "--to", "memory.db", code=2)
    assert "already" in same.err
    cli("record", "two", *ANN, "--id", "m1", "--store", "copy.db")
    taken = cli("store", "migrate", "--from", "memory.db", "--to", "copy.db", code=2)
    assert "'m1' is other content in the target" in taken.err


@pytest.fixture
def refused(in_tmp: Path) -> Path:
    """An outbox with a message that waits and one that was refused."""
    path = in_tmp / "box.db"

    async def fill() -> None:
        door = Door(SQLiteStore.open(in_tmp / "memory.db", embedder=None))
        box = await OutboxStore.open(door.store, path, embedder=None)
        await box.append(ALICE, [entry(message("m1", "one"))])
        door.shut = True
        await box.append(ALICE, [entry(message("m1", "two"))])
        door.shut = False
        await delivered(box)
        await box.close()
        shut = Door(SQLiteStore.open(in_tmp / "memory.db", embedder=None), shut=True)
        box = await OutboxStore.open(shut.store, path, embedder=None)
        await box.append(ALICE, [entry(message("m2", "three"))])
        await box.close()

    asyncio.run(fill())
    return path


def test_an_outbox_is_shown(cli: Cli, refused: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = cli("store", "outbox", "--file", str(refused))
    ((user, name, _, reason),) = shown.rows
    assert (user, name) == ("alice", "m1")
    assert reason == "the id 'm1' is taken by other content"
    assert "1 messages wait, the first since 20" in shown.err
    assert "1 were refused" in shown.err
    monkeypatch.setenv("MEMORYSCOPE_STORE__ELASTICSEARCH__OUTBOX", str(refused))
    told = json.loads(cli("store", "outbox", "--json").out)
    assert (told["waiting"], len(told["refused"])) == (1, 1)
    assert "two" not in shown.out + shown.err + json.dumps(told)


def test_refused_messages_are_tried_again_or_discarded(cli: Cli, refused: Path) -> None:
    where = ("--file", str(refused))
    assert "--yes" in cli("store", "outbox", *where, "--discard", code=2).err
    assert cli("store", "outbox", *where, "--retry").out == "1 messages wait again\n"
    assert "2 messages wait" in cli("store", "outbox", *where).err
    assert cli("store", "outbox", *where, "--discard", "--yes").out == "removed 0 messages\n"
    assert "--discard" in cli("store", "outbox", *where, "--retry", "--discard", code=2).err
    assert "no outbox at" in cli("store", "outbox", "--file", "none.db", code=2).err
    assert "nothing waits" in cli("store", "outbox").err


def test_the_doctor_sees_the_outbox(
    cli: Cli, refused: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORYSCOPE_STORE__ELASTICSEARCH__OUTBOX", str(refused))
    monkeypatch.setenv("MEMORYSCOPE_STORE__ELASTICSEARCH__DEADLINE_S", "0.2")
    cluster = ("--store", "http://127.0.0.1:9")
    found = {row[0]: row[1:] for row in cli("doctor", *cluster, code=1).rows}
    assert found["server"][0] == "problem"
    state, detail = found["outbox"]
    assert state == "problem"
    assert "1 messages wait since 20" in detail
    assert "1 were refused: 'memoryscope-rag store outbox' tells why" in detail
    cli("store", "outbox", "--retry")
    found = {row[0]: row[1:] for row in cli("doctor", *cluster, code=1).rows}
    assert found["outbox"][0] == "ok"
    moved = cli("store", "migrate", "--from", cluster[1], "--to", "copy.db", code=3)
    assert "2 messages wait in" in moved.err
