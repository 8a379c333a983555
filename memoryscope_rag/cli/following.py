"""list --follow: what comes into memory, as it comes, from whatever process."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from memoryscope_rag.cli.output import name_of, one_line, say_json, stamp, who_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from memoryscope_rag.schema import Kind, MemoryNode, Message, Scope
    from memoryscope_rag.sync import MemoryScope

LOOK_S = 0.25
"""Between two looks at the scope's counter of writes, which is one row to read."""


def follow(
    memory: MemoryScope,
    scope: Scope,
    *,
    kinds: Collection[Kind] | None,
    session_id: str | None,
    closed: bool,
    zone: tzinfo,
    as_json: bool,
) -> None:
    """Write a line for everything there is, then for all that is new or changed, until Ctrl-C.

    With ``closed`` also for facts that were closed before; one that is closed meanwhile is shown
    in any case.
    """
    watch = _Watch(memory, scope, kinds, session_id)
    if not closed:
        watch.pass_over_closed()
    generation = -1
    try:
        while True:
            now = memory.generation(scope=scope)
            if now != generation:
                generation = now
                for node in watch.news():
                    _write(node, zone, as_json)
                sys.stdout.flush()
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return


class _Watch:
    """Knows what was shown. Turns are read on from the last one, facts are few and read anew."""

    def __init__(
        self,
        memory: MemoryScope,
        scope: Scope,
        kinds: Collection[Kind] | None,
        session_id: str | None,
    ) -> None:
        self._memory = memory
        self._scope = scope
        self._kinds = kinds
        self._session = session_id
        self._after = 0
        self._facts: dict[str, int] = {}

    def pass_over_closed(self) -> None:
        """Take the facts that are closed already for shown."""
        self._facts |= {n.id: n.version for n in self._read_facts() if n.valid_to is not None}

    def news(self) -> Iterator[MemoryNode]:
        """What was not given yet, in order of time within turns and within facts."""
        if self._kinds is None or "conversation" in self._kinds:
            while batch := self._memory.messages(
                scope=self._scope, session_id=self._session, after=self._after
            ):
                self._after = batch[-1].seq
                yield from map(_as_node, batch)
        for node in self._read_facts():
            if self._facts.get(node.id) != node.version:
                self._facts[node.id] = node.version
                yield node

    def _read_facts(self) -> Iterator[MemoryNode]:
        from memoryscope_rag.schema import KINDS

        wanted = (set(KINDS) if self._kinds is None else set(self._kinds)) - {"conversation"}
        cursor: str | None = None
        while wanted:
            page = self._memory.list(
                scope=self._scope,
                kinds=frozenset(kind for kind in KINDS if kind in wanted),
                session_id=self._session,
                closed=True,  # that a fact was closed is news, too
                cursor=cursor,
                limit=500,
            )
            yield from page.items
            cursor = page.cursor
            if cursor is None:
                return


def _as_node(message: Message) -> MemoryNode:
    from memoryscope_rag.schema import MemoryNode

    return MemoryNode(
        id=message.id,
        kind="conversation",
        content=message.content,
        said_at=message.created_at,
        provenance=(message.id,),
        session_id=message.session_id,
        speaker=message.speaker,
        role=message.role,
        seq=message.seq,
    )


def _write(node: MemoryNode, zone: tzinfo, as_json: bool) -> None:
    if as_json:
        from memoryscope_rag.operations.portability import node_to_dict

        say_json(node_to_dict(node))
        return
    kind = node.kind if node.valid_to is None else f"{node.kind}, closed"
    cells = (name_of(node), stamp(node.said_at, zone), who_of(node), kind, node.content)
    print("\t".join(one_line(str(cell)) for cell in cells))
