"""The messages of each session as a memory of its own, for reading what a question attends to.

A session is read once, in its own context, when its messages come; later ones are appended. No
question makes anything be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.transcript import transcript_line
from memoryscope_rag.schema import NewMessage


def append_to_sessions(
    engine: BeaconEngine,
    sessions: Mapping[str, MemoryState],
    messages: Iterable[NewMessage],
    zone: tzinfo | None = None,
) -> dict[str, MemoryState]:
    """``sessions`` by id, each and then its own of ``messages`` as dated lines.

    A session begins with the token that begins texts, or ends them: of no message, it takes the
    attention that goes nowhere (attention sinks, arXiv 2309.17453, §3.1).

    Args:
        zone: in which times are written; ``None``: as the messages have them.

    Raises:
        InvalidInput: a state is another engine's.
        ModelError: a session does not fit the model.
    """
    found = dict(sessions)
    new: dict[str, list[TokenizedMessage]] = {}
    for message in messages:
        new.setdefault(message.session_id, []).append(session_line(engine, message, zone))
    for session, read in new.items():
        state = found.get(session)
        if state is None:
            state = engine.append_ids(engine.empty(), beginning(engine))
        found[session] = engine.append(state, read)
    return found


def session_line(
    engine: BeaconEngine, message: NewMessage, zone: tzinfo | None = None
) -> TokenizedMessage:
    """``message`` as it stands in a session's memory."""
    return TokenizedMessage(message.id, plain_ids(engine, transcript_line(message, zone)))


def plain_ids(engine: BeaconEngine, text: str) -> list[int]:
    """The tokens of ``text``; a mark of the model in it, such as ``<|im_end|>``, is plain text."""
    found: list[int] = engine.tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, verbose=False
    )["input_ids"]
    return found


def beginning(engine: BeaconEngine) -> list[int]:
    """The tokens that a session's memory begins with."""
    tokenizer = engine.tokenizer
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return [token for token in known if token is not None][:1]
