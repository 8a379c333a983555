"""Remembers the replies to prompts seen lately."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import astuple, replace

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.models.streams import ended
from memoryscope_rag.ports import (
    ChatMessage,
    Delta,
    Generator,
    JsonSchema,
    Reply,
    Sampling,
    Usage,
)


class CachedGenerator:
    """A generator around another that keeps its last ``capacity`` replies, in memory only.

    In memory, because a reply quotes what it was asked about, and what is forgotten must not
    stay in a file. Only replies that asking again should repeat are kept: temperature 0 or a
    seed, and not cut short. Prompts are kept as SHA-256. A reply that comes from here has taken
    no tokens. Safe for tasks and threads; two that miss the same prompt at once both ask.
    """

    def __init__(self, inner: Generator, capacity: int = 1024) -> None:
        if capacity < 0:
            raise InvalidInput("capacity", f"is {capacity}, must not be negative")
        self._inner = inner
        self._capacity = capacity
        self._replies: OrderedDict[bytes, Reply] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The inner generator's."""
        return self._inner.model

    def __len__(self) -> int:
        return len(self._replies)

    def clear(self) -> None:
        """Forget all replies."""
        with self._lock:
            self._replies.clear()

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """The reply that is known, or the inner generator's."""
        key = self._key(messages, sampling, schema)
        known = self._find(key)
        if known is not None:
            return known
        reply = await self._inner.generate(messages, sampling=sampling, schema=schema)
        self._keep(key, reply)
        return reply

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """The reply that is known in one piece, or the inner generator's pieces."""
        key = self._key(messages, sampling, None)
        known = self._find(key)
        if known is not None:
            if known.text:
                yield Delta(known.text)
            yield Delta("", known)
            return
        stream = self._inner.stream(messages, sampling=sampling)
        try:
            async for delta in stream:
                if delta.reply is not None:
                    self._keep(key, delta.reply)
                yield delta
        finally:
            await ended(stream)

    async def close(self) -> None:
        """Forget all replies and close the inner generator."""
        self.clear()
        await self._inner.close()

    def _key(
        self, messages: Sequence[ChatMessage], sampling: Sampling, schema: JsonSchema | None
    ) -> bytes | None:
        if sampling.temperature != 0 and sampling.seed is None:
            return None
        whole = [self.model, [astuple(one) for one in messages], astuple(sampling), schema]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).digest()

    def _find(self, key: bytes | None) -> Reply | None:
        with self._lock:
            if key is None or key not in self._replies:
                return None
            self._replies.move_to_end(key)
            return self._replies[key]

    def _keep(self, key: bytes | None, reply: Reply) -> None:
        if key is None or reply.finish != "stop":
            return
        with self._lock:
            self._replies[key] = replace(reply, usage=Usage())
            while len(self._replies) > self._capacity:
                self._replies.popitem(last=False)
