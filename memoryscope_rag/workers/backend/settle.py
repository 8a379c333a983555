"""What verdicts on stored facts make of them: closed and linked, never lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.state import Action, Relation, Verdict


def is_open(node: MemoryNode, now: datetime) -> bool:
    """Whether the store counts ``node`` among the open ones."""
    return node.valid_to is None or node.valid_to > now


def closed(loser: MemoryNode, until: datetime, winner: MemoryNode, because: Relation) -> MemoryNode:
    """``loser`` as it is kept from ``until`` on; its metadata tell why: ``closed``."""
    metadata = {**loser.metadata, "closed": because}
    return loser.with_(valid_to=until, superseded_by=winner.id, metadata=metadata)


def settle(
    facts: Mapping[str, MemoryNode], verdicts: Iterable[Verdict], now: datetime
) -> tuple[dict[str, MemoryNode], list[Action]]:
    """The facts that change, by id, and what is done. ``facts`` holds what ``verdicts`` name.

    The later said of two that contradict each other stays. What repeats another is closed and
    lends it its messages; a note is never closed for that.
    """
    drafts: dict[str, MemoryNode] = {}
    actions: list[Action] = []

    def close(loser: MemoryNode, winner: MemoryNode, because: Relation) -> None:
        until = max(loser.said_at, winner.said_at)
        drafts[loser.id] = closed(loser, until, winner, because)
        actions.append(Action("closed", loser.id, loser.content, because))

    for verdict in verdicts:
        newer, older = (
            drafts.get(name, facts.get(name)) for name in (verdict.newer, verdict.older)
        )
        if newer is None or older is None or newer.id == older.id:
            continue
        if not is_open(newer, now) or not is_open(older, now):
            continue
        if verdict.relation == "contradicted":
            first, last = sorted((older, newer), key=lambda node: (node.said_at, node.seq))
            close(first, last, verdict.relation)
        elif verdict.relation == "contained":
            close(older, newer, verdict.relation)
        elif verdict.relation == "repeated" and newer.kind == "observation":
            if older.kind == "observation":
                sources = dict.fromkeys((*older.provenance, *newer.provenance))
                drafts[older.id] = older.with_(provenance=tuple(sources))
                actions.append(Action("merged", older.id, older.content, verdict.relation))
            close(newer, older, verdict.relation)
    return drafts, actions
