"""import from an index that MemoryScope made: reading it, and sorting its memories by person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from memoryscope_rag.cli.settings import Settings
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.operations.memoryscope_index import Remembered

Lines = tuple[list[str], list[int]]
"""Lines of an export, and the number of the document behind each."""


def read_index(settings: Settings, url: str) -> list[tuple[int, Any]]:
    """The numbered documents of ``url``, ``http://host:9200/INDEX``.

    What the settings say of the cluster (credentials, certificates, time-outs) goes for this one.
    """
    parts = urlsplit(url)
    index = parts.path.strip("/")
    if not index or "/" in index:
        raise InvalidInput("file", "a URL must end with the name of an index, /memory_index")
    from memoryscope_rag.configs.load import with_store
    from memoryscope_rag.stores.elasticsearch.foreign import documents

    config = with_store(settings.config(embedder="none"), f"{parts.scheme}://{parts.netloc}")

    async def read() -> list[Any]:
        return [hit async for hit in documents(config.store.elasticsearch, index)]

    return list(enumerate(asyncio.run(read()), 1))


def memories_of(
    values: Iterable[tuple[int, Any]], assistant: str | None, problems: list[tuple[int, str]]
) -> dict[str, Lines]:
    """By person the lines to import, messages first; ``problems`` takes what cannot be read.

    Raises InvalidInput when the memories are of several assistants and none was chosen.
    """
    from memoryscope_rag.formats import Problem
    from memoryscope_rag.operations.memoryscope_index import hits_of, remembered

    found: list[tuple[int, Remembered]] = []
    for number, value in values:
        if isinstance(value, Problem):
            problems.append((number, value.reason))
            continue
        for hit in hits_of(value):
            try:
                found.append((number, remembered(hit)))
            except InvalidInput as error:
                problems.append((number, str(error)))
    names = sorted({one.assistant for _, one in found})
    if assistant is None and len(names) > 1:
        raise InvalidInput("--assistant", f"is needed: there are memories of {', '.join(names)}")
    people: dict[str, list[tuple[int, Remembered]]] = {}
    for number, one in found:
        if assistant in (None, one.assistant):
            people.setdefault(one.person, []).append((number, one))
    return {person: _lines(memories) for person, memories in people.items()}


def _lines(memories: list[tuple[int, Remembered]]) -> Lines:
    # an observation can only rest on a message that is there; several may rest on one
    messages = {one.message: number for number, one in memories if one.message is not None}
    return (
        [*messages, *[one.node for _, one in memories]],
        [*messages.values(), *[number for number, _ in memories]],
    )
