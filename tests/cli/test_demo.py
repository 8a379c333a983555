"""The demo: it answers, it forgets, it leaves nothing behind; the sample data are sound."""

from __future__ import annotations

import json
import re
import tempfile
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from memoryscope_rag import NewMessage
from memoryscope_rag.cli.demo import ALSO_FORGOTTEN, FORGOTTEN, FORGOTTEN_WORD, NOW, QUESTIONS
from memoryscope_rag.operations.portability import message_from_dict
from tests.cli.conftest import Cli

DEFAULT = ("--embedder", "all-minilm-l6-v2")


def sample(name: str) -> list[NewMessage]:
    text = resources.files("memoryscope_rag.cli").joinpath("sample", f"{name}.jsonl")
    return [message_from_dict(json.loads(line)) for line in text.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", ["ann", "wei"])
def test_the_sample_histories_are_sound(name: str) -> None:
    messages = sample(name)
    assert 100 <= len(messages) <= 200
    assert len({message.id for message in messages}) == len(messages)
    assert 12 <= len({message.session_id for message in messages}) <= 16
    for before, after in pairwise(messages):
        assert before.created_at < after.created_at
        if before.session_id == after.session_id:
            assert before.role != after.role
    assert messages[-1].created_at < NOW
    assert (messages[-1].created_at - messages[0].created_at).days > 120


def test_what_is_forgotten_is_all_there_is_of_it() -> None:
    told = {m.id for m in sample("ann") if FORGOTTEN_WORD in m.content.lower()}
    assert told == {FORGOTTEN, *ALSO_FORGOTTEN}


def test_the_demo_answers_forgets_and_says_the_same_every_time(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = Path.cwd() / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    out = cli("demo", *DEFAULT).out
    for question in QUESTIONS:
        assert f"{question.user} > {question.text}" in out
    for answer in ANSWERS:
        assert answer in out
    assert "files that hold it after: 0" in out
    assert re.search(r"asked again .*: 0 of \d+ items name it", out)
    assert "median" in out
    assert list(temporary.iterdir()) == []

    kept = cli("demo", "--store", "kept.db", *DEFAULT).out
    assert _steady(kept) == _steady(out)
    assert cli("list", "--user", "wei", "--store", "kept.db", "--limit", "1").rows


ANSWERS = (
    "Marchmont Museum",
    "14 April",
    "drink coffee again",
    "Douro",
    "5月18日",
    "我对虾过敏",
    "搬到了成都",
)


def _steady(text: str) -> list[str]:
    """The lines without times taken and the name of the file."""
    lines = (re.sub(r"\d+\.\d (s|ms)\b", "", line) for line in text.splitlines())
    return [line for line in lines if not line.startswith("the memory stays in")]
