"""A memory to draw, as plain data: three sessions, two tiers, a tail, a lag, a question."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from memoryscope_rag.plots.memory_map import MemoryMap
from memoryscope_rag.ports import Coverage, CoveredBlock
from memoryscope_rag.schema import Clue, Evidence, EvidenceItem, MemoryNode, Message, Scope

SCOPE = Scope("ann")
START = datetime(2026, 2, 3, 19, 0, tzinfo=UTC)
TEXTS = (
    "I work at the harbour",
    "Since when?",
    "Since the spring, I moved for it",
    "Otto hates trams",
    "Poor cat",
    "He will walk",
    "我对虾过敏",
    "Noted <b>& kept</b> for $5 or $6",
)


def message(number: int) -> Message:
    """The message ``m{number}``; three of them a session, a week between sessions."""
    session, place = divmod(number, 3)
    at = START + timedelta(weeks=session, minutes=place)
    return Message(
        f"m{number}", f"s{session}", "user", TEXTS[number], at, "Ann", scope=SCOPE, seq=number + 1
    )


MESSAGES = tuple(map(message, range(len(TEXTS))))
COVERAGE = Coverage(
    message_ids=("m0", "m1", "m2", "m3", "m4"),
    tokens=80,
    rows=24,
    bytes=4096,
    seconds=1.5,
    tail_tokens=16,
    blocks=(
        CoveredBlock(32, 8, 1024, ("m0", "m1", "m2")),
        CoveredBlock(32, 4, 2048, ("m2", "m3")),
    ),
)


def item(number: int, *found_by: str) -> EvidenceItem:
    """Evidence that rests on the message of this number."""
    said = MESSAGES[number]
    node = MemoryNode(
        f"{said.id}#0",
        "conversation",
        said.content,
        said.created_at,
        (said.id,),
        said.session_id,
        said.speaker,
        said.role,
        said.seq,
    )
    return EvidenceItem(node, 2.0 - number / 10, found_by=found_by)


CLUES = (
    Clue("Ann's harbour <job>", "span", provenance=("m0", "m2")),
    Clue("Since when does Ann work there?", "surrogate"),
)
EVIDENCE = Evidence(
    "Where does Ann work?",
    (item(0, "query"), item(2, "clue 1", "attention"), item(1, "neighbour"), item(6, "part 1")),
    "",
    0,
    left_out=("second_round: late",),
    profile="clues",
    clues=CLUES,
    unsupported=2,
)
ATTENTION = {"m0": 3.0, "m1": -0.5, "m2": 1.25, "m3": 0.0, "m4": 0.1}
SHOWN = MemoryMap(SCOPE, "tiny", MESSAGES, COVERAGE, ATTENTION, EVIDENCE)
BARE = replace(SHOWN, attention={}, evidence=None)
