"""What a memory of documents is put together from, empty or from a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from memoryscope_rag.beacon.memory import BeaconMemory, Place, Running
from memoryscope_rag.beacon.options import holds_memory
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.documents import memory_files
from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.documents.gist_texts import GistTexts
from memoryscope_rag.documents.options import DocumentOptions
from memoryscope_rag.documents.writers import GeneratorWriter, MemoryWriter, Writer
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import Embedder, Generator

AnyMemory = BeaconMemory | GistTexts


class Models(Place, total=False):
    """The models of a memory of documents, beside the embedder, and where one of them runs.

    ``generator``: writes the final text; by default the model that remembers. ``context_tokens``:
    what it can read and write in all, where that is known; ``count_tokens``: by its tokenizer, by
    default an estimate and a quarter more. ``retold_by``: retells windows for the compressor *gist*
    in place of the model. What is given stays the caller's to close.
    """

    generator: Generator | None
    context_tokens: int | None
    count_tokens: Callable[[str], int] | None
    retold_by: Generator | None


@dataclass(frozen=True, slots=True)
class Parts:
    """A memory, the chunks of what it remembers, and what writes the final text."""

    memory: AnyMemory
    index: DenseIndex
    writer: Writer
    prompts: MemoryPrompts
    options: DocumentOptions


async def open_parts(options: DocumentOptions, embedder: Embedder, models: Models) -> Parts:
    """Empty ones. Raises as :meth:`.DocumentMemory.open`."""
    prompts = MemoryPrompts.load(models.get("prompts"))
    index = DenseIndex(embedder, options.index)
    memory: AnyMemory
    if options.memory is None:
        memory = _gist_texts(prompts, models)
    else:
        memory = await BeaconMemory.open(options.memory, **_running(models))
    try:
        return Parts(memory, index, await _writer(memory, models), prompts, options)
    except BaseException:
        await memory.close()
        raise


async def load_parts(folder: Path, embedder: Embedder, model: str | None, models: Models) -> Parts:
    """Those that were saved. Raises as :meth:`.DocumentMemory.load`."""
    prompts = MemoryPrompts.load(models.get("prompts"))
    options = DocumentOptions()
    memory: AnyMemory
    if memory_files.holds_gist_texts(folder):
        options = replace(options, memory=None)
        memory = texts = _gist_texts(prompts, models)
        await texts.restore(folder)
    else:
        memory = await BeaconMemory.load(folder, model=model, **_running(models))
    try:
        where = memory_files.index_folder(folder, identity_of(memory))
        options = await asyncio.to_thread(memory_files.read_about, where, options)
        index = await DenseIndex.load(where, embedder)
        options = replace(options, index=index.options)
        return Parts(memory, index, await _writer(memory, models), prompts, options)
    except BaseException:
        await memory.close()
        raise


def identity_of(memory: AnyMemory) -> str:
    """A hash of what it remembers."""
    if isinstance(memory, GistTexts):
        return memory.identity
    return memory_files.identity_of(memory.state)


def check_kind(folder: Path, memory: AnyMemory) -> None:
    """Raises InvalidInput where a memory of another kind was saved."""
    here = isinstance(memory, BeaconMemory)
    if memory_files.holds_gist_texts(folder) if here else holds_memory(folder):
        raise InvalidInput("folder", f"{folder} holds a memory of another kind; remove it first")


def _gist_texts(prompts: MemoryPrompts, models: Models) -> GistTexts:
    generator = models.get("generator")
    if generator is None:
        raise InvalidInput(
            "generator", "is needed where no model on this machine remembers: it retells and reads"
        )
    return GistTexts(generator, prompts, context_tokens=models.get("context_tokens"))


async def _writer(memory: AnyMemory, models: Models) -> Writer:
    generator = models.get("generator")
    context, count = models.get("context_tokens"), models.get("count_tokens")
    if generator is not None:
        return GeneratorWriter(generator, context, count)
    if isinstance(memory, GistTexts):  # which is never made without one
        raise InvalidInput("generator", "is needed")
    if context is not None or count is not None:
        raise InvalidInput("context_tokens", "is of a generator; the memory's model knows its own")
    return MemoryWriter(memory, (await memory.stats()).model)


def _running(models: Models) -> Running:
    named = {name: value for name, value in models.items() if name in Place.__annotations__}
    return cast(Running, {**named, "generator": models.get("retold_by")})
