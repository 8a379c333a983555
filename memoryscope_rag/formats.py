"""Chat logs of other programs as messages: OpenAI-style lists and LoCoMo conversations.

A ``memoryscope-index``, documents of an Elasticsearch index that MemoryScope made, is told from
them here and read by :mod:`memoryscope_rag.operations.memoryscope_index`.

Pure functions from text to (line number from 1, message or problem). A malformed line costs only
itself. Ids follow from content and position, so reading the same file twice gives the same ids.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, get_args

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import NewMessage, Role

Format = Literal["memoryscope", "openai", "locomo", "memoryscope-index"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_LOCOMO_TIME = r"(\d{1,2}):(\d\d) ([ap])m on (\d{1,2}) ([a-z]+),? (\d{4})"
_MONTHS = "january february march april may june july august september october november december"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something could not be read."""

    reason: str


Parsed = tuple[int, NewMessage | Problem]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One LoCoMo sample: its ``sample_id`` and its messages."""

    name: str
    lines: tuple[Parsed, ...]


def detect(text: str) -> Format:
    """Which format ``text`` is in, by the first object of it that can be read.

    Raises:
        InvalidInput: nothing in it looks like any of them.
    """
    for _, value in values(text):
        first = value[0] if isinstance(value, list) and value else value
        if not isinstance(first, dict):
            continue
        if isinstance(first.get("_source"), dict) or isinstance(first.get("hits"), dict):
            return "memoryscope-index"
        kind = first.get("type")
        if kind == "node" or (kind == "message" and "session_id" in first):
            return "memoryscope"  # an OpenAI item may also be of type "message"; ours has a session
        if isinstance(first.get("conversation"), dict):
            return "locomo"
        if "role" in first or isinstance(first.get("messages"), list):
            return "openai"
    raise InvalidInput("format", f"cannot be told from the file; name one of {', '.join(FORMATS)}")


def parse_openai(text: str, *, session_id: str, start: datetime) -> Iterator[Parsed]:
    """Messages of the form ``{"role", "content"[, "name"]}``.

    They come as a JSON list, as one a line, or in objects ``{"messages": [...]}`` (or lists), one
    conversation each: the first of these has the session ``session_id``, the others
    ``session_id-2`` and on. ``content`` may be a list of parts, whose texts are joined by line
    ends. A message without any text, such as a mere tool call, is left out. ``created_at`` or
    ``timestamp`` (ISO 8601, or POSIX seconds) is used where there is one; else messages follow
    ``start`` by a second each.
    """
    flat = 0
    conversations = 0
    count = 0
    for line, value in values(text):
        if isinstance(value, Problem):
            yield line, value
            continue
        inner = value.get("messages") if isinstance(value, dict) else value
        if isinstance(inner, list):
            conversations += 1
            session = session_id if conversations == 1 else f"{session_id}-{conversations}"
            items: Iterable[tuple[int, Any]] = enumerate(inner)
        else:
            session, items = session_id, [(flat, value)]
            flat += 1
        for position, item in items:
            moment = start + timedelta(seconds=count)
            parsed = _openai_message(item, session, position, moment)
            if parsed is not None:
                count += 1
                yield line, parsed


def parse_locomo(text: str, *, zone: tzinfo = UTC) -> Iterator[tuple[int, Conversation | Problem]]:
    """LoCoMo samples, a line or a list element each; their times are local times of ``zone``.

    Ids are ``sample_id:dia_id``; speaker_a is the user. A shared picture's caption follows the
    text as ``[shares caption]``. Turns of a session follow its start by 30 seconds each.
    """
    for line, value in values(text):
        if isinstance(value, Problem):
            yield line, value
            continue
        talk = value.get("conversation") if isinstance(value, dict) else None
        name = value.get("sample_id") if isinstance(value, dict) else None
        if not isinstance(talk, dict) or not isinstance(name, str) or not name:
            yield line, Problem("is no LoCoMo sample with sample_id and conversation")
        else:
            messages = tuple((line, item) for item in _locomo_messages(name, talk, zone))
            yield line, Conversation(name, messages)


def as_line(message: NewMessage) -> str:
    """A message as a line that ``import_`` reads."""
    return json.dumps(
        {
            "type": "message",
            "id": message.id,
            "session_id": message.session_id,
            "role": message.role,
            "speaker": message.speaker,
            "content": message.content,
            "created_at": message.created_at.isoformat(),
            "metadata": dict(message.metadata),
        },
        ensure_ascii=False,
    )


# ---------------------------------------------------------------- JSON


def values(text: str) -> Iterator[tuple[int, Any]]:
    """The values of JSON lines, or of one JSON list or object written over several lines.

    With the line number of each, from 1; what cannot be read is a :class:`Problem`.
    """
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        return
    broken = isinstance(_loads(lines[0][1]), Problem)
    if len(lines) > 1 and broken:
        whole = _loads(text)
        if isinstance(whole, dict):
            yield lines[0][0], whole
            return
        if text.lstrip().startswith("["):
            yield from _elements(text)
            return
    for number, line in lines:
        yield number, _loads(line)


def _elements(text: str) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON list with the line each begins on, as far as it can be read."""
    decoder = json.JSONDecoder()
    at = text.index("[") + 1
    line, counted = text.count("\n", 0, at) + 1, at
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        line, counted = line + text.count("\n", counted, at), at
        if at >= len(text):
            yield line, Problem("the list has no end")
            return
        if text[at] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            yield line, Problem(f"not valid JSON: {reason}; the rest of the list is not read")
            return
        yield line, value


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return Problem(f"not valid JSON: {error.msg} at character {error.pos + 1}")
    except RecursionError:
        return Problem("not valid JSON: nested too deeply")


# ---------------------------------------------------------------- messages


def _openai_message(
    item: Any, session: str, position: int, moment: datetime
) -> NewMessage | Problem | None:
    if not isinstance(item, dict):
        return Problem("is no message object with role and content")
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        return Problem(f"role: {role!r} is unknown; known: {', '.join(_ROLES)}")
    try:
        text = _text(item.get("content"))
        if not text:
            return None
        name = item.get("name")
        if name is not None and not isinstance(name, str):
            raise InvalidInput("name", "must be a string")
        given = item.get("id")
        said = item.get("created_at", item.get("timestamp"))
        return NewMessage(
            id=given if isinstance(given, str) and given else _id(session, position, item, text),
            session_id=session,
            role=_ROLES[role],
            content=text,
            created_at=moment if said is None else moment_of("created_at", said),
            speaker=name or None,
        )
    except InvalidInput as error:
        return Problem(str(error))


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidInput("content", f"must be text or a list of parts, not {content!r:.40}")
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)


def moment_of(field: str, value: Any) -> datetime:
    """An ISO 8601 time (UTC unless it says otherwise) or POSIX seconds.

    Raises InvalidInput that names the field.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidInput(field, f"{value!r:.60} is neither an ISO 8601 time nor POSIX seconds")


def _id(session: str, position: int, item: Mapping[str, Any], text: str) -> str:
    key = json.dumps([session, position, item.get("role"), item.get("name"), text])
    return f"m-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _locomo_messages(
    name: str, talk: Mapping[str, Any], zone: tzinfo
) -> Iterator[NewMessage | Problem]:
    sessions = [key for key in talk if re.fullmatch(r"session_\d+", key)]
    for session in sorted(sessions, key=lambda key: int(key[8:])):
        turns = talk[session]
        try:
            start = locomo_time(talk.get(f"{session}_date_time"), zone)
        except InvalidInput as error:
            yield Problem(f"{name}, {session}: {error}")
            continue
        for index, turn in enumerate(turns if isinstance(turns, list) else [turns]):
            moment = start + timedelta(seconds=30 * index)
            try:
                yield _locomo_message(name, talk, session, moment, turn)
            except InvalidInput as error:
                yield Problem(f"{name}, {session}, turn {index + 1}: {error}")


def _locomo_message(
    name: str, talk: Mapping[str, Any], session: str, moment: datetime, turn: Any
) -> NewMessage:
    if not isinstance(turn, dict):
        raise InvalidInput("turn", "is no object")
    for key in ("dia_id", "speaker", "text"):
        if not isinstance(turn.get(key), str):
            raise InvalidInput(key, "is missing or no string")
    caption = turn.get("blip_caption")
    return NewMessage(
        id=f"{name}:{turn['dia_id']}",
        session_id=session,
        role="user" if turn["speaker"] == talk.get("speaker_a") else "assistant",
        content=turn["text"] + (f" [shares {caption}]" if caption else ""),
        created_at=moment,
        speaker=turn["speaker"],
    )


def locomo_time(text: Any, zone: tzinfo = UTC) -> datetime:
    """``"1:56 pm on 8 May, 2023"`` as a local time of ``zone``. Raises InvalidInput."""
    match = (
        re.fullmatch(
            r"(\d{1,2}):(\d\d) ([ap])m on (\d{1,2}) ([a-z]+),? (\d{4})", text.strip().lower()
        )
        if isinstance(text, str)
        else None
    )
    if match is None or match[5] not in _MONTHS.split():
        raise InvalidInput("date_time", f"{text!r:.60} is not of the form 1:56 pm on 8 May, 2023")
    hour = int(match[1]) % 12 + (12 if match[3] == "p" else 0)
    month = _MONTHS.split().index(match[5]) + 1
    try:
        return datetime(int(match[6]), month, int(match[4]), hour, int(match[2]), tzinfo=zone)
    except ValueError as error:
        raise InvalidInput("date_time", f"{text!r}: {error}") from None
