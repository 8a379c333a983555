"""Facts: their ids, and the observations that they become."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from memoryscope_rag import lexical
from memoryscope_rag.schema import MemoryNode, Message, Metadata
from memoryscope_rag.workers.backend.state import Fact

_WORD = re.compile(r"\w+")
_DATE = re.compile(r"\([^()]*\d{4}[^()]*\)|（[^（）]*\d{4}[^（）]*）")
MAX_VALUE = 1000
"""Characters of a keyword list or a value that a node keeps at most; metadata have a limit."""


def fact_id(sources: Iterable[str], content: str) -> str:
    """The id of what ``content`` says on the strength of these messages: the same every time, so
    that a run which is done again adds nothing.
    """
    text = "\0".join((*sources, content))
    return f"obs-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def last_said(messages: Iterable[Message]) -> Message:
    """The message whose time, place and speaker a fact drawn from ``messages`` has."""
    return max(messages, key=lambda message: (message.created_at, message.seq))


def observation_of(fact: Fact) -> MemoryNode:
    """The observation that ``fact`` becomes, open and in its first version.

    The metadata hold ``score``, ``keywords`` (comma-separated), ``subject``, ``attribute``,
    ``value`` and what ``origin`` says, as far as they are known.
    """
    metadata: dict[str, str | int] = {"score": fact.score}
    texts = {
        "keywords": ", ".join(fact.keywords),
        "subject": fact.subject,
        "attribute": fact.attribute,
        "value": fact.value,
        **fact.origin,
    }
    metadata.update({name: text[:MAX_VALUE] for name, text in texts.items() if text})
    return MemoryNode(
        id=fact.id,
        kind="observation",
        content=fact.content,
        said_at=fact.said_at,
        provenance=fact.sources,
        session_id=fact.session_id,
        speaker=fact.speaker,
        seq=fact.seq,
        event=fact.event,
        valid_from=fact.said_at,
        metadata=metadata,
    )


def slot_of(metadata: Metadata) -> tuple[str, str] | None:
    """(subject, attribute) of an observation in one form of writing; ``None`` when one is missing.

    Two observations of one slot speak of the same thing, however differently they are worded.
    """
    subject, attribute = metadata.get("subject"), metadata.get("attribute")
    if not isinstance(subject, str) or not isinstance(attribute, str):
        return None
    return plain(subject), plain(attribute)


def plain(text: str) -> str:
    """``text`` in one form of writing: width, case, spaces and marks aside."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(folded))


def is_same(first: MemoryNode, second: MemoryNode) -> bool:
    """Whether two facts say the same in the same words, by one speaker and of the same time."""
    if first.speaker != second.speaker or plain(first.content) != plain(second.content):
        return False
    times = [None if node.event is None else node.event.interval for node in (first, second)]
    return times[0] == times[1]


def likeness(first: Iterable[str], second: Iterable[str]) -> float:
    """The share of tokens that two texts have in common, 0 to 1 (Dice)."""
    one, two = set(first), set(second)
    return 2 * len(one & two) / (len(one) + len(two)) if one and two else 0.0


def tokens_of(node: MemoryNode) -> frozenset[str]:
    """What a fact says, as tokens. A date in brackets is no part of it: two facts of one day have
    nothing in common by that.
    """
    return frozenset(lexical.analyze(_DATE.sub(" ", node.content)))
