"""Short ways to run a chat model in a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.openai import OpenAIGenerator
from memoryscope_rag.ports import ChatMessage, Delta, Generator, Reply, Sampling

T = TypeVar("T")
ASKED = (ChatMessage("system", "Be brief."), ChatMessage("user", "Where is the SECRET key?"))


def openai_at(url: str, *, endpoint: str = "openai", model: str = "wanted") -> OpenAIGenerator:
    """A generator for a scripted server, with a key."""
    return OpenAIGenerator(
        model, endpoint=ENDPOINTS[endpoint], base_url=f"{url}/v1", api_key="sk-test", timeout_s=10
    )


def using(generator: Generator, work: Callable[[Generator], Awaitable[T]]) -> T:
    """Run ``work`` and close the generator, in an event loop of its own."""

    async def all_of_it() -> T:
        try:
            return await work(generator)
        finally:
            await generator.close()

    return asyncio.run(all_of_it())


def replied(generator: Generator, sampling: Sampling = Sampling()) -> Reply:
    """The reply to :data:`ASKED`."""
    return using(generator, lambda one: one.generate(ASKED, sampling=sampling))


async def read_until_failure(generator: Generator) -> tuple[str, ModelError]:
    """The text that a stream gave before it failed, and how it failed."""
    text = ""
    try:
        async for delta in generator.stream(ASKED):
            text += delta.text
    except ModelError as error:
        return text, error
    raise AssertionError("the stream did not fail")


def streamed(generator: Generator) -> list[Delta]:
    """The pieces of the reply to :data:`ASKED`."""

    async def collect(one: Generator) -> list[Delta]:
        return [delta async for delta in one.stream(ASKED)]

    return using(generator, collect)
