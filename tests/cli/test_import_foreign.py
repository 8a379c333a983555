"""import of other programs' exports: what goes in, once, and comes out again equal."""

from __future__ import annotations

import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.operations.exports import chatgpt, claude, item, mem0_memory

ANN = ("--user", "ann")


def write(folder: Path, name: str, value: Any) -> str:
    (folder / name).write_text(json.dumps(value), "utf-8")
    return name


def talks(count: int) -> list[dict[str, Any]]:
    """Conversations whose messages have ids of their own."""
    text = json.dumps(chatgpt())
    return [
        json.loads(
            text.replace('"talk-1"', f'"talk-{n}"')
            .replace('"id": "q2", "author"', f'"id": "q2-{n}", "author"')
            .replace('"id": "a2", "author"', f'"id": "a2-{n}", "author"')
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("program", "value", "told"),
    [
        ("chatgpt", [chatgpt()], "2 messages stored, 0 known already, 0 facts, 0 problems"),
        ("claude", [claude()], "2 messages stored, 0 known already, 0 facts, 0 problems"),
        (
            "mem0",
            {"results": [mem0_memory("1", "Ann moved to Lisbon"), mem0_memory("2", "Tea")]},
            "0 messages stored, 0 known already, 2 facts, 0 problems",
        ),
        (
            "langgraph",
            [item(["ann"], "a", {"text": "Ann moved to Lisbon"}), item(["ann"], "b", {"n": [1]})],
            "0 messages stored, 0 known already, 2 facts, 0 problems",
        ),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_exports_go_in_once_and_come_out_equal(
    cli: Cli, in_tmp: Path, program: str, value: Any, told: str, named: bool
) -> None:
    file = write(in_tmp, "export.json", value)
    form = ("--format", program) if named else ()
    assert cli("import", file, *ANN, *form).out.splitlines() == [told]
    again = cli("import", file, *ANN, *form)
    assert again.out == "0 messages stored, 2 known already, 0 facts, 0 problems\n"
    exported = cli("export", *ANN).out
    assert len(exported.splitlines()) == 2
    (in_tmp / "own.jsonl").write_text(exported, "utf-8")
    cli("--store", "other.db", "import", "own.jsonl", *ANN)
    assert cli("--store", "other.db", "export", *ANN).out == exported
    assert "Lisbon" in exported or program == "claude"


def test_what_is_left_out_is_counted(cli: Cli, in_tmp: Path) -> None:
    outcome = cli("import", write(in_tmp, "export.json", [chatgpt()]), *ANN)
    assert outcome.err.splitlines() == [
        "export.json: left out 1 calls of tools",
        "export.json: left out 1 contents of type 'thoughts'",
        "export.json: left out 1 hidden messages",
        "export.json: left out 2 messages of other branches",
        "export.json: left out 1 outputs of tools",
        "export.json: left out 1 pictures, sounds and files in messages",
    ]


def test_a_zip_is_read_without_unpacking_it(cli: Cli, in_tmp: Path) -> None:
    first, *more = talks(600)
    with zipfile.ZipFile("export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("user.json", '{"email": "ann@example.org"}')
        archive.writestr("mine/conversations-001.json", json.dumps(more))
        archive.writestr("mine/conversations-000.json", json.dumps([first, {"mapping": {}}]))
    outcome = cli("import", "export.zip", *ANN, code=1)
    assert outcome.out == "1200 messages stored, 0 known already, 0 facts, 1 problem\n"
    assert "export.zip: left out 1 other files of the ZIP" in outcome.err
    named = "export.zip, line 1: mine/conversations-000.json: conversation ?: id: is missing"
    assert named in outcome.err
    assert "ann@example.org" not in outcome.err
    assert sorted(path.name for path in in_tmp.iterdir()) == ["export.zip", "memory.db"]
    again = cli("import", "export.zip", *ANN, code=1)
    assert again.out.startswith("0 messages stored, 1200 known already")


def test_an_import_that_was_broken_off_goes_on(cli: Cli, in_tmp: Path) -> None:
    whole = json.dumps(talks(300), indent=1)
    (in_tmp / "export.json").write_text(whole[: len(whole) // 2], "utf-8")
    broken = cli("import", "export.json", *ANN, code=1)
    assert "the rest of the list is not read" in broken.err
    had = int(broken.out.split()[0])
    assert 200 < had < 400
    (in_tmp / "export.json").write_text(whole, "utf-8")
    told = f"{600 - had} messages stored, {had} known already, 0 facts, 0 problems\n"
    assert cli("import", "export.json", *ANN).out == told


def test_mem0_memories_go_to_their_users(cli: Cli, in_tmp: Path) -> None:
    memories = [
        mem0_memory("1", "Ann likes tea"),
        mem0_memory("2", "Bob likes coffee", user_id="bob"),
        mem0_memory("3", "Who likes milk?", user_id=None),
    ]
    (in_tmp / "mem0.jsonl.xz").write_bytes(
        lzma.compress("\n".join(map(json.dumps, memories)).encode())
    )
    outcome = cli("import", "mem0.jsonl.xz", code=1)
    assert outcome.out.startswith("0 messages stored, 0 known already, 2 facts, 1 problem")
    assert outcome.err.startswith("mem0.jsonl.xz, line 3: user_id: is missing")
    assert "coffee" in cli("export", "--user", "bob").out
    assert "coffee" not in cli("export", *ANN).out
    assert "1 known already, 2 facts" in cli("import", "mem0.jsonl.xz", *ANN).out


def test_a_namespace_is_chosen_where_there_are_several(cli: Cli, in_tmp: Path) -> None:
    items = [
        item(["memories", name], "tea", {"text": f"{name} likes tea"}) for name in ("ann", "bob")
    ]
    file = write(in_tmp, "store.json", {"items": items})
    refused = cli("import", file, *ANN, code=2)
    assert "--namespace: is needed: there are items of memories/ann, memories/bob" in refused.err
    taken = cli("import", file, *ANN, "--namespace", "memories/ann")
    assert "1 fact," in taken.out
    assert taken.err == "store.json: left out 1 items of other namespaces\n"
    assert "bob" not in cli("export", *ANN).out
    assert "1 known already, 1 fact," in cli("import", file, *ANN, "--namespace", "/").out


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (b'[{"mapping": {}}]', (), "--user: is needed"),
        (b'[{"mapping": {}}]', (*ANN, "--namespace", "a"), "--namespace: is for the items"),
        (b'[{"role": "user"}]', (*ANN, "--namespace", "a"), "--namespace: is for the items"),
        (b"PK\x05\x06" + bytes(18), ANN, "holds no conversations.json"),
        (b"[]", (*ANN, "--format", "claud"), "did you mean 'claude'"),
    ],
)
def test_what_cannot_be_imported_at_all(
    cli: Cli, in_tmp: Path, data: bytes, options: tuple[str, ...], said: str
) -> None:
    (in_tmp / "export").write_bytes(data)
    assert said in cli("import", "export", *options, code=2).err
