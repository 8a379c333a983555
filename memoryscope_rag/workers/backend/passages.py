"""Messages as a chat model gets to read them: numbered passages among the turns around them.

A message that is too long for one call is parted at sentence ends, never cut short: every letter
of it is in one passage or another. The turns around it may be shortened, they only explain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag import lexical
from memoryscope_rag.models.segment import pieces
from memoryscope_rag.schema import Message

CONTEXT_CHARS = 400
"""Characters that are shown of a turn which only explains others."""
CONTEXT_TURNS = 4
"""Turns right before a passage that explain it."""


_BREAKS = re.compile("[\x85\u2028\u2029]")
"""What ends a line for some readers and is no control character to JSON."""


@dataclass(frozen=True, slots=True)
class Passage:
    """The piece ``[start, end)`` of a message, in characters."""

    message: Message
    start: int
    end: int

    @property
    def text(self) -> str:
        """The piece itself."""
        return self.message.content[self.start : self.end]


def passages_of(messages: Iterable[Message], tokens: int) -> tuple[Passage, ...]:
    """The passages of ``messages``, each of at most about ``tokens`` tokens, in order."""
    return tuple(
        Passage(message, start, end)
        for message in messages
        for start, end in pieces(message.content, _token_starts, tokens)
    )


def calls_of(passages: Sequence[Passage], tokens: int) -> list[list[Passage]]:
    """Passages in groups of at most about ``tokens`` tokens, one group a call of the model."""
    groups: list[list[Passage]] = []
    room = 0
    for passage in passages:
        size = lexical.estimate_tokens(passage.text)
        if not groups or size > room:
            groups.append([])
            room = tokens
        groups[-1].append(passage)
        room -= size
    return groups


def dialogue(group: Sequence[Passage], turns: Iterable[Message], zone: tzinfo | None) -> str:
    """The passages of ``group``, numbered from 1 as they stand there, among ``turns``.

    One JSON object a line, so that no text can pose as another line: ``{"session", "date"}``
    where either changes, then turns with ``speaker`` and ``text``; those with ``n`` are the
    passages, the others explain them. ``part`` tells the pieces of a long message apart.
    """
    numbered: dict[int, list[tuple[int, Passage]]] = {}
    for number, passage in enumerate(group, 1):
        numbered.setdefault(passage.message.seq, []).append((number, passage))
    every = {turn.seq: turn for turn in (*turns, *(passage.message for passage in group))}
    sessions: dict[str, list[Message]] = {}
    for seq in sorted(every):
        sessions.setdefault(every[seq].session_id, []).append(every[seq])
    lines: list[str] = []
    for place, (_, session) in enumerate(sessions.items(), 1):
        date = ""
        for index, turn in enumerate(session):
            following = session[index : index + CONTEXT_TURNS + 1]
            if not any(later.seq in numbered for later in following):
                continue
            said = turn.created_at.astimezone(zone).strftime("%Y-%m-%d %A")
            if said != date:
                lines.append(_line({"session": place, "date": said}))
                date = said
            lines += _turn(turn, numbered.get(turn.seq, []))
    return "\n".join(lines)


def _turn(turn: Message, parts: Sequence[tuple[int, Passage]]) -> list[str]:
    who = turn.speaker or turn.role
    if not parts:
        return [_line({"speaker": who, "text": _shorten(turn.content)})]
    whole = len(parts) == 1 and parts[0][1].end - parts[0][1].start == len(turn.content)
    lines = []
    for number, passage in parts:
        values: dict[str, str | int] = {"n": number, "speaker": who}
        if not whole:
            values["part"] = f"from character {passage.start}"
        lines.append(_line({**values, "text": passage.text}))
    return lines


def _line(values: dict[str, str | int]) -> str:
    return _BREAKS.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(values, ensure_ascii=False)
    )


def _shorten(text: str) -> str:
    if len(text) <= CONTEXT_CHARS:
        return text
    half = CONTEXT_CHARS // 2
    return f"{text[:half].rstrip()} … {text[-half:].lstrip()}"


def _token_starts(text: str) -> NDArray[np.int64]:
    """Where tokens begin, about: as many as :func:`lexical.estimate_tokens` counts."""
    # a quarter of a token a character, 1 / 1.6 where words are not spaced
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    weights = np.where(codes >= 0x0E00, 1 / 1.6, 0.25)
    begun = np.floor(np.cumsum(weights) - weights[0] if len(weights) else weights)
    return np.flatnonzero(np.diff(begun, prepend=-1.0) >= 1).astype(np.int64)
