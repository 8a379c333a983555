"""find_uncovered: compares what the beacon memory covers with the log."""

from __future__ import annotations

from dataclasses import replace

from memoryscope_rag import lexical
from memoryscope_rag.errors import StoreCorrupt
from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Message
from memoryscope_rag.workers.backend.agreement import agreement
from memoryscope_rag.workers.backend.extend_memory import memory_of
from memoryscope_rag.workers.backend.state import RefreshState
from memoryscope_rag.workers.base import Worker

_PAGE = 200


class FindUncovered(Worker[RefreshState]):
    """Finds how much of the memory holds still, and the messages that come next in the log.

    A memory whose files are damaged is removed, to be made anew from the log.
    """

    name = "find_uncovered"
    reads = frozenset({"scope", "step_tokens"})
    gives = frozenset({"before", "keep", "messages"})

    async def run(self, state: RefreshState) -> RefreshState:
        """Give ``before``, ``keep`` and ``messages``, at least one and ``step_tokens`` or so.

        Raises StoreError.
        """
        store, memory = self.services.store, memory_of(self.services)
        try:
            before = await memory.coverage(state.scope)
        except StoreCorrupt:
            await memory.drop(state.scope)
            before = Coverage()
        agreed = await agreement(store, state.scope, before.message_ids)
        messages: list[Message] = []
        tokens = 0
        for message in await store.messages(state.scope, after=agreed.seq, limit=_PAGE):
            tokens += lexical.estimate_tokens(message.content)
            if messages and tokens > state.step_tokens:
                break
            messages.append(message)
        return replace(state, before=before, keep=agreed.count, messages=tuple(messages))
