"""Record: messages into the log, each with the conversation nodes that it is found by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memoryscope_rag import indexing, lexical
from memoryscope_rag.ports import Embedder, FloatArray, IndexedNode, LogEntry, MemoryStore, Recorded
from memoryscope_rag.schema import MemoryNode, NewMessage, Scope
from memoryscope_rag.temporal import is_question
from memoryscope_rag.workers.indexed import embed_nodes, index_facts

Turn = tuple[str | None, str]
"""Speaker (or role) and content, as :mod:`memoryscope_rag.indexing` wants the turns before."""


async def record(
    store: MemoryStore,
    embedder: Embedder | None,
    scope: Scope,
    messages: Sequence[NewMessage],
    *,
    made_up: bool = False,
) -> tuple[Recorded, ...]:
    """Record ``messages`` in the order given; one outcome each.

    ``made_up`` ids were drawn a moment ago, so the store is not asked whether it knows them
    (known messages are not embedded again). A failing embedder costs no message: what could not
    be embedded is stored, found by its words, and gets its vectors by ``reembed``.
    """
    ids = [] if made_up else [message.id for message in messages]
    here = {message.id for message in await store.get_messages(scope, ids)} if ids else set()
    before = await _turns_before(store, scope, messages)
    drafts: list[tuple[NewMessage, list[tuple[MemoryNode, str]]]] = []
    for message in messages:
        previous = before[message.session_id]
        # a known message is handed to the store as it is: that one compares and says "known"
        nodes = [] if message.id in here else _nodes(message, previous, embedder)
        drafts.append((message, nodes))
        previous.append(_turn(message))
        del previous[: -indexing.CONTEXT_TURNS]
    vectors = await embed_nodes(embedder, [pair for _, nodes in drafts for pair in nodes])
    entries = [
        LogEntry(message, tuple(_indexed(node, context, vectors) for node, context in nodes))
        for message, nodes in drafts
    ]
    return await store.append(scope, entries)


async def context_texts(
    store: MemoryStore, scope: Scope, nodes: Sequence[MemoryNode]
) -> tuple[str, ...]:
    """What each node reads like with the turns before it; the node itself for other kinds."""
    seqs = sorted({node.seq for node in nodes if node.kind == "conversation"})
    around = await store.around(scope, seqs, indexing.CONTEXT_TURNS, 0)
    return tuple(
        indexing.context_text(
            [_turn(message) for message in around[node.seq][0]] if node.seq in around else [],
            node.speaker,
            node.content,
        )
        for node in nodes
    )


async def index_fact(embedder: Embedder | None, node: MemoryNode) -> IndexedNode:
    """An observation, note or insight with its tokens and, unless that fails, its vectors."""
    (indexed,) = await index_facts(embedder, [node])
    return indexed


async def _turns_before(
    store: MemoryStore, scope: Scope, messages: Sequence[NewMessage]
) -> dict[str, list[Turn]]:
    return {
        session: [
            _turn(message)
            for message in await store.last_messages(
                scope, indexing.CONTEXT_TURNS, session_id=session
            )
        ]
        for session in {message.session_id for message in messages}
    }


def _nodes(
    message: NewMessage, previous: Sequence[Turn], embedder: Embedder | None
) -> list[tuple[MemoryNode, str]]:
    if not message.content:
        return []  # a message without words, such as a call of a tool, is found by none
    whole = ((0, len(message.content)),)
    spans = whole if embedder is None else embedder.pieces(message.content) or whole
    nodes = []
    for index, (start, end) in enumerate(spans):
        node = MemoryNode(
            id=indexing.piece_id(message.id, index),
            kind="conversation",
            content=message.content[start:end],
            said_at=message.created_at,
            provenance=(message.id,),
            session_id=message.session_id,
            speaker=message.speaker,
            role=message.role,
            span=(start, end),
        )
        nodes.append((node, indexing.context_text(previous, node.speaker, node.content)))
    return nodes


def _indexed(
    node: MemoryNode, context: str, vectors: Mapping[str, tuple[FloatArray, FloatArray]]
) -> IndexedNode:
    vector, context_vector = vectors.get(node.id, (None, None))
    return IndexedNode(
        node,
        tuple(lexical.analyze(node.content)),
        tuple(lexical.analyze(context)),
        vector,
        context_vector,
        is_question(node.content),
    )


def _turn(message: NewMessage) -> Turn:
    return (message.speaker, message.content)
