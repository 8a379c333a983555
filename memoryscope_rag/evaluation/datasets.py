"""Conversations with questions whose evidence is known: LoCoMo, LongMemEval-S, MemDaily, ours.

Every loader reads JSON lines, plain or ``.xz``, and gives the same shape. The data are not part
of this package; they serve evaluation only.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import Role

_EVIDENCE = re.compile(r"D:?(\d+):(\d+)")
_MONTHS = "january february march april may june july august september october november december"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a history; ``speaker`` is ``None`` where the data name nobody."""

    id: str
    session: str
    role: Role
    speaker: str | None
    content: str
    at: datetime
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its evidence: ids of turns, and of sessions. ``at`` is when it is asked."""

    id: str
    text: str
    category: str
    turns: frozenset[str]
    sessions: frozenset[str]
    at: datetime
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class History:
    """The memory of one user, turns in order, and what is asked of it."""

    id: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]
    speakers: tuple[str, ...] = field(default=())


def load_locomo(path: Path | str) -> tuple[History, ...]:
    """LoCoMo: turns read ``text [shares caption]``; questions without valid evidence are left out.

    Evidence ids are sometimes joined (``"D8:6; D9:17"``), misspelt (``"D:11:26"``, ``"D30:05"``)
    or name no turn; every id that can be read and names a turn counts.
    """
    return tuple(_locomo(row) for row in _rows(path))


def _locomo(row: dict[str, Any]) -> History:
    talk = row["conversation"]
    numbers = sorted(
        int(key[8:])
        for key, value in talk.items()
        if re.fullmatch(r"session_\d+", key) and isinstance(value, list)
    )
    turns: list[Turn] = []
    for number in numbers:
        start = _locomo_time(talk[f"session_{number}_date_time"])
        for index, turn in enumerate(talk[f"session_{number}"]):
            caption = turn.get("blip_caption")
            turns.append(
                Turn(
                    id=turn["dia_id"],
                    session=f"session_{number}",
                    role="user" if turn["speaker"] == talk["speaker_a"] else "assistant",
                    speaker=turn["speaker"],
                    content=turn["text"] + (f" [shares {caption}]" if caption else ""),
                    at=start + timedelta(seconds=30 * index),
                )
            )
    session = {turn.id: turn.session for turn in turns}
    end = turns[-1].at + timedelta(days=1)
    questions = []
    for index, entry in enumerate(row["qa"]):
        gold = frozenset(evidence_ids(entry.get("evidence", ()), session))
        if gold:
            questions.append(
                Question(
                    id=f"{row['sample_id']}/{index}",
                    text=entry["question"],
                    category=str(entry["category"]),
                    turns=gold,
                    sessions=frozenset(session[turn] for turn in gold),
                    at=end,
                )
            )
    return History(
        row["sample_id"], tuple(turns), tuple(questions), (talk["speaker_a"], talk["speaker_b"])
    )


def evidence_ids(evidence: Sequence[str], known: Sequence[str] | dict[str, Any]) -> list[str]:
    """The ids in LoCoMo's evidence strings that are among ``known``, each once, in order."""
    found: dict[str, None] = {}
    for text in evidence:
        for session, turn in _EVIDENCE.findall(text):
            name = f"D{int(session)}:{int(turn)}"
            if name in known:
                found[name] = None
    return list(found)


def _locomo_time(text: str) -> datetime:
    """``"1:56 pm on 8 May, 2023"``; the data give no time zone, so it is taken for UTC."""
    match = re.fullmatch(r"(\d+):(\d+) ([ap])m on (\d+) (\w+),? (\d{4})", text.strip())
    if match is None:
        raise InvalidInput("session date", f"{text!r} is not in LoCoMo's form")
    hour, minute, half, day, month, year = match.groups()
    number = _MONTHS.split().index(month.lower()) + 1
    clock = int(hour) % 12 + (12 if half == "p" else 0)
    return datetime(int(year), number, int(day), clock, int(minute), tzinfo=UTC)


def load_longmemeval(
    path: Path | str, roles: frozenset[str] = frozenset({"user"})
) -> tuple[History, ...]:
    """LongMemEval-S: one history a question, its sessions in order of date; turns of ``roles``.

    Gold are the answer sessions; gold turns are those the data mark (``has_answer``) among
    ``roles``. ``answerable`` is false for the abstention questions (``_abs``).
    """
    return tuple(_longmemeval(row, roles) for row in _rows(path))


def _longmemeval(row: dict[str, Any], roles: frozenset[str]) -> History:
    sessions = sorted(
        zip(
            (_slashed_time(text) for text in row["haystack_dates"]),
            row["haystack_session_ids"],
            row["haystack_sessions"],
            strict=True,
        ),
        key=lambda part: part[0],
    )
    turns = tuple(
        Turn(
            id=f"{place}:{name}:{index}",
            session=name,
            role=turn["role"],
            speaker=None,
            content=turn["content"],
            at=start + timedelta(seconds=30 * index),
            marked=bool(turn.get("has_answer")),
        )
        for place, (start, name, content) in enumerate(sessions)
        for index, turn in enumerate(content)
        if turn["role"] in roles and turn["content"]
    )
    question = Question(
        id=row["question_id"],
        text=row["question"],
        category=row["question_type"],
        turns=frozenset(turn.id for turn in turns if turn.marked),
        sessions=frozenset(row["answer_session_ids"]),
        at=_slashed_time(row["question_date"]),
        answerable="_abs" not in row["question_id"],
    )
    return History(row["question_id"], turns, (question,))


def _slashed_time(text: str) -> datetime:
    """``"2023/12/21 (Thu) 21:31"``, taken for UTC."""
    return datetime.strptime(re.sub(r"\s*\(\w+\)", "", text), "%Y/%m/%d %H:%M").replace(tzinfo=UTC)


def load_memdaily(path: Path | str) -> tuple[History, ...]:
    """MemDaily: Chinese message streams, one session each; gold are the target steps."""
    return tuple(_memdaily(row) for row in _rows(path))


def _memdaily(row: dict[str, Any]) -> History:
    name = f"{row['kind']}/{row['tid']}"
    turns = tuple(
        Turn(
            id=str(entry["mid"]),
            session=name,
            role="user",
            speaker=None,
            content=entry["message"],
            at=_chinese_time(entry["time"]),
        )
        for entry in row["message_list"]
    )
    known = {turn.id for turn in turns}
    questions = tuple(
        Question(
            id=f"{name}/{entry['qid']}",
            text=entry["question"],
            category=row["kind"].split("_", 1)[0],
            turns=frozenset(str(step) for step in entry["target_step_id"] if str(step) in known),
            sessions=frozenset({name}),
            at=_chinese_time(entry["time"]),
        )
        for entry in row["question_list"]
    )
    return History(name, turns, tuple(question for question in questions if question.turns))


def _chinese_time(text: str) -> datetime:
    """``"2024年04月01日 周一 08:25"``, taken for UTC."""
    numbers = [int(part) for part in re.findall(r"\d+", text)]
    year, month, day, hour, minute = numbers[:5]
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def load_generic(path: Path | str) -> tuple[History, ...]:
    """Our own form, one history a line::

        {"id": "...", "turns": [{"id", "session", "role", "speaker"?, "content", "at"}],
         "questions": [{"id", "text", "category"?, "turns": [ids], "at"?}]}

    Times are ISO 8601, with offset or taken for UTC.
    """
    return tuple(_generic(row) for row in _rows(path))


def _generic(row: dict[str, Any]) -> History:
    turns = tuple(
        Turn(
            id=entry["id"],
            session=entry["session"],
            role=entry["role"],
            speaker=entry.get("speaker"),
            content=entry["content"],
            at=_iso_time(entry["at"]),
        )
        for entry in row["turns"]
    )
    session = {turn.id: turn.session for turn in turns}
    questions = []
    for entry in row["questions"]:
        gold = frozenset(turn for turn in entry["turns"] if turn in session)
        questions.append(
            Question(
                id=entry["id"],
                text=entry["text"],
                category=entry.get("category", ""),
                turns=gold,
                sessions=frozenset(session[turn] for turn in gold),
                at=_iso_time(entry["at"]) if "at" in entry else turns[-1].at,
                answerable=bool(gold),
            )
        )
    speakers = tuple(dict.fromkeys(turn.speaker for turn in turns if turn.speaker))
    return History(row["id"], turns, tuple(questions), speakers)


def _iso_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _rows(path: Path | str) -> Iterator[dict[str, Any]]:
    path = Path(path)
    with (
        lzma.open(path, "rt", encoding="utf-8")
        if path.suffix == ".xz"
        else path.open(encoding="utf-8")
    ) as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
