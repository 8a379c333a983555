"""How a message becomes what it is found by: its nodes' ids, the text of a turn and of its context.

The texts are fixed when the message is recorded, so they look *back* only; what follows a turn is
added when queried (:mod:`memoryscope_rag.scoring` sums the neighbours' scores). A change here
changes every vector: it needs a new :data:`VERSION` and a re-embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from memoryscope_rag.schema import MAX_NAME

VERSION = 1
"""Changes when the texts change, and with them every context vector of a store."""

CONTEXT_TURNS = 2
"""How many preceding turns of the session stand before a turn in its context text."""

CONTEXT_CHARS = 320
"""Characters of each preceding turn, so that a long reply does not drown the turn itself."""


_NUMBER = 8
"""Places that the number of a piece may take in an id."""


def piece_id(message_id: str, index: int) -> str:
    """The id of the ``index``-th conversation node of a message."""
    name = f"{message_id}#{index}"
    return name if len(name) <= MAX_NAME else f"{_digest(message_id)}#{index}"


def stems(message_id: str) -> tuple[str, ...]:
    """What :func:`stem_of` gives for the conversation nodes of a message."""
    if len(message_id) + _NUMBER <= MAX_NAME:
        return (message_id,)
    return (message_id, _digest(message_id))


def stem_of(node_id: str) -> str:
    """What all conversation nodes of a message have in common, up to :func:`stems` of it."""
    return node_id.rpartition("#")[0] or node_id


def _digest(message_id: str) -> str:
    return hashlib.sha256(message_id.encode()).hexdigest()


def document_text(speaker: str | None, content: str) -> str:
    """What is embedded for a turn: ``"Speaker: content"``, or the content of an unnamed one."""
    return f"{speaker}: {content}" if speaker else content


def context_text(
    previous: Sequence[tuple[str | None, str]], speaker: str | None, content: str
) -> str:
    """The turn after the up to :data:`CONTEXT_TURNS` turns before it, oldest first, a line each.

    ``previous`` are (speaker, content) pairs of the same session in order; older ones than
    wanted may be among them. Each is cut to :data:`CONTEXT_CHARS`: its beginning says what it is
    about and its end is what the turn answers, so the middle goes.
    """
    lines = [
        document_text(name, _shorten(text, CONTEXT_CHARS))
        for name, text in previous[max(0, len(previous) - CONTEXT_TURNS) :]
        if text
    ]
    return "\n".join([*lines, document_text(speaker, content)])


def _shorten(text: str, limit: int) -> str:
    """``text`` without its middle, at most ``limit`` characters."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half].rstrip()} … {text[-half:].lstrip()}"
