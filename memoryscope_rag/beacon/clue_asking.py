"""From a memory's replies to clues, each with what it leans on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from memoryscope_rag.beacon.echo import Ground
from memoryscope_rag.clue_lines import clue_lines
from memoryscope_rag.ports import Reply
from memoryscope_rag.schema import Clue, ClueKind

CLUE_PROMPTS: Final[Mapping[ClueKind, str]] = MappingProxyType(
    {"span": "span", "surrogate": "sur", "draft": "qa"}
)
"""The prompt that asks for clues of a kind."""


def clues_in(
    reply: Reply, kind: ClueKind, known: tuple[str, ...], ground: Callable[[str], Ground]
) -> Iterator[Clue]:
    """The clues of ``reply``; a passage that nothing remembered echoes was made up, and is none.

    Args:
        known: texts that are no clues, such as the question itself.
        ground: says what a clue leans on.
    """
    text = " ".join(reply.text.split()) if kind == "draft" else reply.text
    for line in clue_lines(text, cut=reply.finish == "length", known=known):
        found = ground(line)
        if found.provenance or kind != "span":
            yield Clue(line, kind, 1.0, found.provenance, found.blocks)
