"""Loaders on small files of the same make; LoCoMo's malformed evidence ids."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.evaluation import datasets

KNOWN = ["D8:6", "D9:17", "D11:26", "D30:5", "D9:1", "D4:4"]


@pytest.mark.parametrize(
    ("evidence", "ids"),
    [
        (["D8:6"], ["D8:6"]),
        (["D8:6; D9:17"], ["D8:6", "D9:17"]),
        (["D9:1 D4:4 D4:6"], ["D9:1", "D4:4"]),
        (["D:11:26"], ["D11:26"]),
        (["D30:05"], ["D30:5"]),
        (["D4:36"], []),
        (["D"], []),
        (["D8:6", "D8:6"], ["D8:6"]),
        ([], []),
    ],
)
def test_evidence_ids(evidence: list[str], ids: list[str]) -> None:
    assert datasets.evidence_ids(evidence, KNOWN) == ids


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.suffix == ".xz":
        with lzma.open(path, "wt", encoding="utf-8") as out:
            out.write(text)
    else:
        path.write_text(text, encoding="utf-8")
    return path


def test_locomo(tmp_path: Path) -> None:
    talk = {
        "speaker_a": "Ann",
        "speaker_b": "Bob",
        "session_2_date_time": "12:05 am on 3 June, 2023",
        "session_2": [{"speaker": "Bob", "dia_id": "D2:1", "text": "Hi"}],
        "session_10_date_time": "1:56 pm on 8 May, 2024",
        "session_10": [
            {"speaker": "Ann", "dia_id": "D10:1", "text": "Look!", "blip_caption": "a cat"}
        ],
        "session_11_date_time": "1:56 pm on 9 May, 2024",
    }
    qa = [
        {"question": "Who?", "evidence": ["D10:01"], "category": 1},
        {"question": "None?", "evidence": ["D99:1"], "category": 5},
    ]
    row = {"sample_id": "c", "conversation": talk, "qa": qa}
    (history,) = datasets.load_locomo(_write(tmp_path / "l.jsonl.xz", [row]))
    assert [turn.content for turn in history.turns] == ["Hi", "Look! [shares a cat]"]
    assert [turn.at.isoformat() for turn in history.turns] == [
        "2023-06-03T00:05:00+00:00",
        "2024-05-08T13:56:00+00:00",
    ]
    (question,) = history.questions
    assert question.turns == {"D10:1"}
    assert question.sessions == {"session_10"}
    assert history.speakers == ("Ann", "Bob")


def test_longmemeval(tmp_path: Path) -> None:
    row = {
        "question_id": "q_abs",
        "question_type": "multi-session",
        "question": "How many?",
        "question_date": "2023/12/21 (Thu) 21:31",
        "answer_session_ids": ["s2"],
        "haystack_dates": ["2023/08/11 (Fri) 15:58", "2023/01/02 (Mon) 01:00"],
        "haystack_session_ids": ["s1", "s2"],
        "haystack_sessions": [
            [{"role": "user", "content": "late"}, {"role": "assistant", "content": "yes"}],
            [{"role": "user", "content": "early", "has_answer": True}],
        ],
    }
    path = _write(tmp_path / "m.jsonl", [row])
    (history,) = datasets.load_longmemeval(path)
    assert [turn.content for turn in history.turns] == ["early", "late"]
    (question,) = history.questions
    assert not question.answerable
    assert question.turns == {history.turns[0].id}
    (both,) = datasets.load_longmemeval(path, frozenset({"user", "assistant"}))
    assert len(both.turns) == 3


def test_memdaily(tmp_path: Path) -> None:
    row = {
        "kind": "01_simple_events",
        "tid": 8,
        "message_list": [{"mid": 0, "message": "我去杭州。", "time": "2024年04月01日 周一 08:25"}],
        "question_list": [
            {
                "qid": 0,
                "question": "去哪里？",
                "target_step_id": [0, 7],
                "time": "2024年04月03日 周三 20:04",
            }
        ],
    }
    (history,) = datasets.load_memdaily(_write(tmp_path / "d.jsonl", [row]))
    assert history.turns[0].at.isoformat() == "2024-04-01T08:25:00+00:00"
    assert history.questions[0].turns == {"0"}
    assert history.questions[0].category == "01"


def test_generic(tmp_path: Path) -> None:
    row = {
        "id": "h",
        "turns": [
            {"id": "t", "session": "s", "role": "user", "content": "x", "at": "2024-01-01T00:00:00"}
        ],
        "questions": [{"id": "q", "text": "x?", "turns": ["t"]}],
    }
    (history,) = datasets.load_generic(_write(tmp_path / "g.jsonl", [row]))
    assert history.questions[0].sessions == {"s"}
    assert history.questions[0].at == history.turns[0].at
