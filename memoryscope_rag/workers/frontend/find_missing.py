"""find_missing: what the evidence so far lacks becomes further clues, by rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic import Field

from memoryscope_rag.lexical import analyze
from memoryscope_rag.schema import Clue, MemoryNode
from memoryscope_rag.temporal import find_times
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NAME = re.compile(r"(?<=[^\W\d_] |[,;:] )[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")
"""Capitalised words inside a sentence."""
_FIRST_PERSON = re.compile(r"I['’]\w+")


class FindMissing(Worker[RetrievalState]):
    """Looks for the next step of a question whose evidence lies in several places.

    That is each name in the best evidence that the query does not have, together with the words of
    the query that stand in none of it; without such names these words alone. Names are known by
    their capital letters, so not in Chinese.
    """

    name = "find_missing"
    reads = frozenset({"text", "ranked"})
    uses = frozenset({"clues"})
    gives = frozenset({"clues"})

    class Params(NoParams):
        """``best``: items that count as the evidence; ``names``: how many of these are followed."""

        best: int = Field(5, ge=1, le=100)
        names: int = Field(3, ge=0, le=20)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``clues``, after those that are there."""
        nodes = [item.node for item in state.ranked[: self.params.best]]
        found = missing(state.text, nodes, self.params.names)
        return replace(state, clues=(*state.clues, *found)) if nodes else state


def missing(text: str, nodes: Sequence[MemoryNode], names: int) -> tuple[Clue, ...]:
    """Clues for what ``nodes``, the best first, do not tell about the query ``text``."""
    held = {term for node in nodes for term in analyze(f"{node.speaker or ''} {node.content}")}
    asked = set(analyze(text))
    words = [word[0] for word in _WORD.finditer(text) if analyze(word[0])]
    lacking = [word for word in words if not held.issuperset(analyze(word))]
    clues: dict[str, Clue] = {}
    for node in nodes:
        for name in _names(node):
            if name not in clues and not asked.issuperset(analyze(name)):
                clues[name] = Clue(
                    " ".join([name, *(lacking or words)]), "surrogate", provenance=node.provenance
                )
    if clues:
        return tuple(clues.values())[:names]
    return (Clue(" ".join(lacking), "surrogate"),) if 0 < len(lacking) < len(words) else ()


def _names(node: MemoryNode) -> Iterator[str]:
    """Names in a node; those of days and months are none."""
    times = find_times(node.content, reference=node.said_at)
    for match in _NAME.finditer(node.content):
        inside = any(time.start < match.end() and match.start() < time.end for time in times)
        if not inside and not _FIRST_PERSON.fullmatch(match[0]):
            yield match[0]
