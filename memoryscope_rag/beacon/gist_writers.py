"""What retells windows for a memory of gists: any chat model, or the memory's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import wait
from typing import Any

import psutil
import torch

from memoryscope_rag.beacon.asking import replies
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.gist import LONGEST, TOGETHER
from memoryscope_rag.beacon.memorizing import GivenUp
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.decoding import Stopped
from memoryscope_rag.ports import ChatMessage, Generator, Sampling

_LOOK = 0.1
"""Seconds after which it is asked again whether to give up."""


class GeneratorGists:
    """Has a chat model retell texts, several at a time.

    To be called in another thread than the loop's.

    Args:
        loop: the generator's event loop, which must go on running.
        longest: tokens of a gist, at most.
        together: calls that run at once.
    """

    def __init__(
        self,
        generator: Generator,
        prompts: MemoryPrompts,
        loop: asyncio.AbstractEventLoop,
        *,
        longest: int = LONGEST,
        together: int = TOGETHER,
    ) -> None:
        self._generator = generator
        self._prompts = prompts
        self._loop = loop
        self._sampling = Sampling(temperature=0.0, max_tokens=longest)
        self._together = together

    def __call__(self, texts: Sequence[str], stopped: GivenUp) -> list[str]:
        """A gist of each of ``texts``, in its language. Raises Stopped, ModelError."""
        if not self._loop.is_running():
            raise ModelError(f"the event loop of the generator {self._generator.model} has ended")
        job = asyncio.run_coroutine_threadsafe(self._retold(texts), self._loop)
        while not wait([job], timeout=_LOOK).done:
            if stopped():
                job.cancel()
                raise Stopped
        return job.result()

    async def _retold(self, texts: Sequence[str]) -> list[str]:
        limit = asyncio.Semaphore(self._together)

        async def retell(text: str) -> str:
            asked = [ChatMessage("user", gist_prompt(self._prompts, text))]
            async with limit:
                reply = await self._generator.generate(asked, sampling=self._sampling)
            return reply.text

        tasks = [asyncio.ensure_future(retell(text)) for text in texts]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


class EngineGists:
    """Has a memory's own model retell texts, as many at a time as its memory has room for.

    Args:
        longest: tokens of a gist, at most.
        free: bytes that may be taken; ``None``: half of what is free when a call begins.
    """

    def __init__(
        self,
        engine: BeaconEngine,
        frame: Frame,
        prompts: MemoryPrompts,
        *,
        longest: int = LONGEST,
        free: int | None = None,
    ) -> None:
        self._engine = engine
        self._frame = frame
        self._prompts = prompts
        self._sampling = Sampling(temperature=0.0, max_tokens=longest)
        self._longest = longest
        self._free = free

    def __call__(self, texts: Sequence[str], stopped: GivenUp) -> list[str]:
        """A gist of each of ``texts``, in its language. Raises Stopped, ModelError."""
        asked = [
            self._frame.alone(gist_prompt(self._prompts, text), self._longest) for text in texts
        ]
        stock = self._engine.model.stock
        free = free_bytes(stock.device) // 2 if self._free is None else self._free
        rows = max(len(prompt.tokens) for prompt in asked) + self._longest
        count = batch_size(stock, rows, free)
        found: list[str] = []
        for start in range(0, len(asked), count):
            some = asked[start : start + count]
            nothing = self._engine.empty()
            told = replies(self._engine, "", nothing, some, self._sampling, stopped)
            found += [reply.text for reply in told]
        return found


def gist_prompt(prompts: MemoryPrompts, text: str) -> str:
    """What a model is asked, in the language of ``text``."""
    return prompts.render("gist", prompts.language(text), context=text)


def batch_size(stock: Any, rows: int, free: int) -> int:
    """How many prompts of ``rows`` rows, replies included, one call may hold: 1 to ``TOGETHER``.

    Counts keys and values, what a layer computes on the way, and the mask, which grows with the
    square: prompts of one call stand side by side in one sequence. One prompt goes in any case.

    Args:
        stock: a causal language model of transformers.
        free: bytes that it may take beside its weights.
    """
    config = stock.config.get_text_config(decoder=True)
    size = stock.dtype.itemsize
    head_dim = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    kept = 2 * config.num_hidden_layers * config.num_key_value_heads * head_dim
    passing = 4 * config.hidden_size + 3 * config.intermediate_size
    for count in range(TOGETHER, 1, -1):
        every = count * rows
        if every * (kept + passing) * size + every * every * (size + 1) <= free:
            return count
    return 1


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on ``device``; for all but CUDA those of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
