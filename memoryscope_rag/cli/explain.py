"""Why an item was found, in words and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from memoryscope_rag.schema import EvidenceItem

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "dense": "close in meaning",
        "dense_parts": "close in meaning to one part of the question",
        "dense_context": "close in meaning with the turns before it",
        "dense_window": "the turns around it are close in meaning",
        "lexical": "shares words with the question",
        "lexical_parts": "shares words with one part of the question",
        "lexical_context": "shares words, with the turns before it",
        "lexical_window": "the turns around it share words",
        "lexical_length": "shares words, for its length",
        "lexical_level": "memory holds the words of the question; the same for every item",
        "unspaced": "a question without spaces between words; the same for every item",
        "session_context": "in a session close in meaning",
        "session_lexical": "in a session that shares words",
        "answers_dense": "answers a question close in meaning",
        "answers_lexical": "answers a question that shares words",
        "next_dense": "the turn after it is close in meaning",
        "next_lexical": "the turn after it shares words",
        "speaker": "said by whom the question names",
        "length": "its length",
        "time_said": "said in the time asked for, or near it",
        "time_event": "happens in the time asked for, or near it",
        "clue_dense": "close to a clue",
        "clue_lexical": "shares words with a clue",
        "clue_time": "said or happens in the time that a clue names, or near it",
        "attention": "the question draws attention to it in the beacon memory",
        "observation": "is an observation",
        "note": "is a note",
        "insight": "is an insight",
        "unspaced_hop": "like the best hit, so it may be the next step from there",
        "fact_dense": "a fact drawn from it is close in meaning",
        "fact_lexical": "a fact drawn from it shares words with the question",
        "outdated": "what it told is not true any more",
    }
)
"""What a signal says when it adds to the score."""

OF_THE_QUERY = frozenset({"lexical_level", "unspaced"})
"""Signals that every item of a query has alike: they serve the floor and are no reason."""


def meaning(signal: str) -> str:
    """The words for a signal; those for text without spaces between words read the same."""
    return WORDS.get(signal) or WORDS.get(signal.removeprefix("unspaced_")) or signal


def reasons(item: EvidenceItem, most: int = 3) -> str:
    """The signals that added most to the score, in words; empty without ``explain``."""
    helping = sorted(
        (part for part in item.parts if part.contribution > 0 and part.signal not in OF_THE_QUERY),
        key=lambda part: -part.contribution,
    )
    said = dict.fromkeys(meaning(part.signal) for part in helping)
    return "; ".join(list(said)[:most])
