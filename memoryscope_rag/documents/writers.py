"""Who writes the final text, and which passages fit into the prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from memoryscope_rag.beacon.memory import BeaconMemory
from memoryscope_rag.documents.evidence import Passage
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.ports import ChatMessage, Generator, Reply, Sampling

TOGETHER = 8
"""Calls of a generator that run at once."""
_AROUND = 32
"""Tokens that a server's chat template may add to a prompt."""
_SEPARATOR = 2


class Writer(Protocol):
    """A chat model that is given passages."""

    @property
    def model(self) -> str:
        """Its name."""
        ...

    def longest_prompt(self, reply_tokens: int) -> int | None:
        """Tokens that a prompt may have beside such a reply; ``None``: nobody knows."""
        ...

    async def count(self, prompts: Sequence[str]) -> list[int]:
        """Tokens of each as a prompt of its own, at most."""
        ...

    async def write(self, prompts: Sequence[str], sampling: Sampling) -> list[Reply]:
        """A reply to each. Raises ModelError."""
        ...


class MemoryWriter:
    """The memory's own model, without its memory."""

    def __init__(self, memory: BeaconMemory, model: str) -> None:
        self.model = model
        self._memory = memory

    def longest_prompt(self, reply_tokens: int) -> int:
        """See :class:`Writer`."""
        return self._memory.longest_prompt(reply_tokens)

    async def count(self, prompts: Sequence[str]) -> list[int]:
        """See :class:`Writer`."""
        return await self._memory.count_tokens(prompts)

    async def write(self, prompts: Sequence[str], sampling: Sampling) -> list[Reply]:
        """See :class:`Writer`."""
        return await self._memory.generate_each(prompts, sampling=sampling, use_memory=False)


class GeneratorWriter:
    """Any chat model.

    Args:
        context_tokens: of prompt and reply together, where that is known.
        count_tokens: by its tokenizer; by default an estimate, a quarter more for safety.
    """

    def __init__(
        self,
        generator: Generator,
        context_tokens: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        if context_tokens is not None and context_tokens < 1:
            raise InvalidInput("context_tokens", f"is {context_tokens}, must be at least 1")
        self._generator = generator
        self._context = context_tokens
        self._count = _safe_estimate if count_tokens is None else count_tokens

    @property
    def model(self) -> str:
        """See :class:`Writer`."""
        return self._generator.model

    def longest_prompt(self, reply_tokens: int) -> int | None:
        """See :class:`Writer`."""
        return None if self._context is None else self._context - reply_tokens

    async def count(self, prompts: Sequence[str]) -> list[int]:
        """See :class:`Writer`."""
        return [self._count(prompt) + _AROUND for prompt in prompts]

    async def write(self, prompts: Sequence[str], sampling: Sampling) -> list[Reply]:
        """See :class:`Writer`."""
        asked = [[ChatMessage("user", prompt)] for prompt in prompts]
        return await generate_all(self._generator, asked, sampling)


async def generate_all(
    generator: Generator, asked: Sequence[Sequence[ChatMessage]], sampling: Sampling
) -> list[Reply]:
    """A reply to each of ``asked``, some at once; the first failure ends all. Raises ModelError."""
    limit = asyncio.Semaphore(TOGETHER)

    async def reply(messages: Sequence[ChatMessage]) -> Reply:
        async with limit:
            return await generator.generate(messages, sampling=sampling)

    tasks = [asyncio.ensure_future(reply(messages)) for messages in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def fitting(
    writer: Writer,
    ranked: Sequence[Passage],
    prompt: Callable[[Sequence[Passage]], str],
    *,
    reply_tokens: int,
    budget_tokens: int,
    whole: bool = False,
) -> tuple[Passage, ...]:
    """Those of ``ranked`` (best first) that fit, in the order of their place in the text.

    Args:
        prompt: the prompt with some of them.
        budget_tokens: of all passages together, as the writer counts them.
        whole: where the writer's context is known, it alone is the limit.

    Raises:
        InvalidInput: the prompt does not fit even without passages.
    """
    longest = writer.longest_prompt(reply_tokens)
    empty, bare, *sizes = await writer.count(["", prompt(()), *(one.text for one in ranked)])
    room = budget_tokens
    if longest is not None:
        if bare > longest:
            raise InvalidInput(
                "query",
                f"is too long: its prompt takes {bare} tokens without a passage; {writer.model} "
                f"has room for {longest} beside a reply of {reply_tokens}",
            )
        room = longest - bare if whole else min(budget_tokens, longest - bare)
    chosen = []
    for passage, size in zip(ranked, sizes, strict=True):
        taken = size - empty + _SEPARATOR
        if taken <= room:
            chosen.append(passage)
            room -= taken
    # where passages meet, a tokenizer may need some tokens more than for each alone
    while chosen and longest is not None:
        (size,) = await writer.count([prompt(_in_order(chosen))])
        if size <= longest:
            break
        chosen.pop()
    return _in_order(chosen)


def _in_order(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    return tuple(sorted(passages, key=lambda passage: passage.index))


def _safe_estimate(text: str) -> int:
    return estimate_tokens(text) * 5 // 4
