"""pack_evidence: the found nodes as a block of text for a prompt, within a token budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo

from pydantic import Field

from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.schema import Event, Evidence, EvidenceItem, Grain, MemoryNode, Message
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState

LINE_TOKENS = 12
"""What date, id and speaker of a line cost, in tokens."""


class PackEvidence(Worker[RetrievalState]):
    """Packs the best items first, then the turns around them, and writes all in order of time.

    An item that no longer fits is passed over for smaller ones after it; ``packed`` tells which
    items are in the text. Nothing is cut inside a line.
    """

    name = "pack_evidence"
    reads = frozenset({"scope", "text", "now", "budget_tokens", "ranked", "explain"})
    uses = frozenset({"times", "leads", "unsupported"})
    gives = frozenset({"result"})

    class Params(NoParams):
        """``before``/``after``: neighbouring turns that make an item readable."""

        before: int = Field(1, ge=0, le=20)
        after: int = Field(1, ge=0, le=20)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``result``."""
        seqs = sorted({i.node.seq for i in state.ranked if i.node.kind == "conversation"})
        around: Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]] = {}
        if seqs and (self.params.before or self.params.after):
            around = await self.services.store.around(
                state.scope, seqs, self.params.before, self.params.after
            )
        items = []
        for item in state.ranked:
            turn = item.node.kind == "conversation"
            before, after = around.get(item.node.seq, ((), ())) if turn else ((), ())
            items.append(replace(item, before=before, after=after))
        packed, text, tokens = pack(items, state.budget_tokens, state.now.tzinfo)
        result = Evidence(
            query=state.text,
            items=tuple(i if i.node.id in packed else replace(i, packed=False) for i in items),
            text=text,
            tokens=tokens,
            intervals=tuple(time.interval for time in state.times),
            clues=tuple(lead.clue for lead in state.leads),
            unsupported=state.unsupported,
        )
        return replace(state, result=result)


def pack(
    items: list[EvidenceItem], budget: int, zone: tzinfo | None
) -> tuple[frozenset[str], str, int]:
    """Ids of the nodes that went in, the text, and its estimated tokens (at most ``budget``)."""
    lines: dict[tuple[str, int], tuple[datetime, int, str]] = {}
    shown: set[str] = set()  # messages that stand in the text whole or in part
    packed: set[str] = set()
    spent = 0

    def add(key: tuple[str, int], moment: datetime, seq: int, text: str) -> bool:
        nonlocal spent
        cost = estimate_tokens(text.partition("] ")[2]) + LINE_TOKENS
        if spent + cost > budget:
            return False
        spent += cost
        lines[key] = (moment, seq, text)
        return True

    for item in items:
        node = item.node
        key = (node.provenance[0] if node.kind == "conversation" else node.id, _start(node))
        if key in lines or add(
            key, node.said_at, node.seq, node_line(node, zone, outdated=item.outdated)
        ):
            packed.add(node.id)
            shown.update(node.provenance if node.kind == "conversation" else ())
    for item in items:
        if item.node.id not in packed:
            continue
        for message in (*item.before, *item.after):
            if message.id not in shown and add(
                (message.id, 0), message.created_at, message.seq, message_line(message, zone)
            ):
                shown.add(message.id)
    ordered = sorted(lines.items(), key=lambda line: (line[1][0], line[1][1], line[0][1]))
    return frozenset(packed), "\n".join(text for _, (_, _, text) in ordered), spent


def node_line(node: MemoryNode, zone: tzinfo | None, *, outdated: bool = False) -> str:
    """One node as a line: id, when said, who, the words, and when it happens if that is known."""
    if node.kind == "conversation":
        name, who = node.provenance[0], node.speaker or node.role or ""
        text = f"{node.content} (no longer true)" if outdated else node.content
        return _line(name, node.said_at, who, text, zone)
    when = f" (when: {event_words(node.event, zone)})" if node.event else ""
    return _line(node.id, node.said_at, node.kind, node.content + when, zone)


def message_line(message: Message, zone: tzinfo | None) -> str:
    """One turn as a line."""
    who = message.speaker or message.role
    return _line(message.id, message.created_at, who, message.content, zone)


def event_words(event: Event, zone: tzinfo | None) -> str:
    """An event's time as an ISO date, a range of dates, or a moment."""
    start, end = event.interval.start, event.interval.end
    if event.recurrence is not None:
        every = event.recurrence.every
        unit = event.recurrence.unit
        often = f"every {unit}" if every == 1 else f"every {every} {unit}s"
        return f"{often}, next {_day(start, zone)}" if start else often
    if start is None or end is None:
        return f"from {_day(start, zone)}" if start else f"before {_day(end, zone)}"
    if event.grain in {Grain.SECOND, Grain.MINUTE, Grain.HOUR, Grain.PART_OF_DAY}:
        return _local(start, zone).strftime("%Y-%m-%d %H:%M")
    if event.grain is Grain.DAY:
        return _day(start, zone)
    return f"{_day(start, zone)} to {_day(end, zone)} (exclusive)"


def _line(name: str, moment: datetime, who: str, text: str, zone: tzinfo | None) -> str:
    # further lines are indented, so that a stored text cannot pose as another entry
    body = "\n    ".join(text.splitlines())
    return f"[{name} | {_local(moment, zone).strftime('%Y-%m-%d %a %H:%M')} | {who}] {body}"


def _day(moment: datetime | None, zone: tzinfo | None) -> str:
    return _local(moment, zone).strftime("%Y-%m-%d") if moment else "?"


def _local(moment: datetime, zone: tzinfo | None) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:  # the first or last day that a datetime can name
        return moment


def _start(node: MemoryNode) -> int:
    return node.span[0] if node.span else 0
