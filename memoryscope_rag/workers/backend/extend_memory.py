"""extend_memory: the beacon memory reads messages, and lets go of what the log does not hold."""

from __future__ import annotations

import logging
from dataclasses import replace

from memoryscope_rag.errors import ConfigError, StoreCorrupt
from memoryscope_rag.ports import Coverage, HistoryMemory
from memoryscope_rag.workers.backend.state import RefreshState
from memoryscope_rag.workers.base import Services, Worker

_log = logging.getLogger(__name__)


def memory_of(services: Services) -> HistoryMemory:
    """The beacon memory. Raises ConfigError where there is none."""
    if services.memory is None:
        raise ConfigError("there is no beacon memory; the setting 'memory.model' names its model")
    return services.memory


class ExtendMemory(Worker[RefreshState]):
    """Makes the memory one of its first ``keep`` messages and then ``messages``, in one write.

    A memory whose files are damaged is removed, to be made anew from the log.
    """

    name = "extend_memory"
    reads = frozenset({"scope", "before", "keep", "messages"})
    gives = frozenset({"after"})

    async def run(self, state: RefreshState) -> RefreshState:
        """Give ``after``. Raises ModelError, StoreError, and InvalidInput when another process has
        written meanwhile.
        """
        memory = memory_of(self.services)
        if not state.messages and state.keep == len(state.before.message_ids):
            return replace(state, after=state.before)
        if not state.messages and not state.keep:
            await memory.drop(state.scope)
            return replace(state, after=Coverage())
        try:
            after = await memory.write(state.scope, state.messages, keep=state.keep)
        except StoreCorrupt as error:
            if not state.keep:
                raise
            _log.warning("a beacon memory is made anew: %s", error)
            await memory.drop(state.scope)
            after = Coverage()
        return replace(state, after=after)
