"""A memory of gists without a model on this machine: any chat model writes them and reads them.

The text side of MemoRAG's *Lite* (arXiv 2409.05591, its package's ``MemoRAGLite``), for models
behind an API, whose keys and values nobody can keep: windows are retold once, and each question is
put with all retellings before it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memoryscope_rag.beacon.clue_asking import CLUE_PROMPTS, clues_in
from memoryscope_rag.beacon.core import BRIEF, LONG, MemoryStats
from memoryscope_rag.beacon.echo import SUPPORT, Ground
from memoryscope_rag.beacon.gist import longest_gist
from memoryscope_rag.beacon.gist_writers import gist_prompt
from memoryscope_rag.beacon.memorizing import Progress
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.documents.chunking import Chunk, chunk_text
from memoryscope_rag.documents.lexical_index import LexicalIndex
from memoryscope_rag.documents.memory_files import GIST_TEXTS
from memoryscope_rag.documents.writers import GeneratorWriter, generate_all
from memoryscope_rag.durable import settle, write_durably
from memoryscope_rag.errors import (
    InvalidInput,
    MalformedReply,
    ModelError,
    StoreCorrupt,
    StoreUnavailable,
)
from memoryscope_rag.ports import ChatMessage, Generator, Reply, Sampling
from memoryscope_rag.schema import Clue, ClueKind, check_name


@dataclass(frozen=True, slots=True)
class GistText:
    """What the window ``start:end`` (characters) of ``source``, ``tokens`` long, was retold as."""

    text: str
    source: str
    start: int
    end: int
    tokens: int


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["memoryscope-rag gists of documents"] = "memoryscope-rag gists of documents"
    version: Literal[1] = 1
    window: int = Field(ge=1)
    language: str
    seconds: float
    gists: tuple[GistText, ...]


class GistTexts:
    """Gists of documents, and the chat model that wrote them and reads them.

    A question costs as many tokens as all gists have, about a sixteenth of the documents: that is
    what servers call cached input, for its beginning is always the same.

    Args:
        window: tokens that are retold together, as BERT counts them. A last window that is no
            longer than a gist is kept as it is.
    """

    def __init__(
        self,
        generator: Generator,
        prompts: MemoryPrompts,
        *,
        window: int = 4096,
        context_tokens: int | None = None,
    ) -> None:
        self._generator = generator
        self._prompts = prompts
        self._sizes = GeneratorWriter(generator, context_tokens)
        self._content = _Content(window=window, language="", seconds=0.0, gists=())
        self._grounds = LexicalIndex(())

    @property
    def gists(self) -> tuple[GistText, ...]:
        """In the order of the documents."""
        return self._content.gists

    @property
    def identity(self) -> str:
        """A hash of all that is remembered."""
        return hashlib.sha256(self._content.model_dump_json(include={"gists"}).encode()).hexdigest()

    async def stats(self) -> MemoryStats:
        """What it consists of; ``rows`` are tokens of gists, estimated."""
        gists = self._content.gists
        tokens = sum(gist.tokens for gist in gists)
        rows = sum(await self._sizes.count([self._text()])) if gists else 0
        size = len(self._content.model_dump_json().encode())
        return MemoryStats(
            model=self._generator.model,
            compressor="gist texts",
            trained=True,
            language=self._content.language,
            tokens=tokens,
            messages=len({gist.source for gist in gists}),
            blocks=len(gists),
            rows=rows,
            capacity=self._sizes.longest_prompt(0) or 0,
            ratio=tokens / max(1, rows),
            bytes=size,
            stored_bytes=size,
            seconds=self._content.seconds,
        )

    # ------------------------------------------------------------ what is remembered

    async def memorize(self, text: str, *, source: str, progress: Progress) -> None:
        """See :meth:`.BeaconMemory.memorize`."""
        empty = self._content.model_copy(update={"gists": (), "seconds": 0.0, "language": ""})
        await self._take_in(empty, text, source, progress)

    async def append(self, text: str, *, source: str, progress: Progress) -> None:
        """See :meth:`.BeaconMemory.append`."""
        await self._take_in(self._content, text, source, progress)

    async def save(self, folder: Path) -> None:
        """Write them to a file, in place of what is there. Raises StoreUnavailable."""
        if not self._content.gists:
            raise InvalidInput("memory", "is empty; memorize something first")
        data = self._content.model_dump_json(indent=1).encode()

        def write() -> None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_durably(folder / GIST_TEXTS, data)
                settle(folder)
            except OSError as error:
                raise StoreUnavailable(
                    f"cannot write {folder / GIST_TEXTS}: {error.strerror}"
                ) from error

        await asyncio.to_thread(write)

    async def restore(self, folder: Path) -> None:
        """Become what was saved in ``folder``. Raises StoreUnavailable, StoreCorrupt."""
        path = folder / GIST_TEXTS
        try:
            self._remember(_Content.model_validate_json(await asyncio.to_thread(path.read_bytes)))
        except OSError as error:
            raise StoreUnavailable(f"no gists in {folder}: {error.strerror}") from error
        except ValidationError as error:
            raise StoreCorrupt(f"{path} is damaged; memorize the documents again") from error

    async def close(self) -> None:
        """Nothing to close: the generator is the caller's."""

    # ------------------------------------------------------------ asking

    async def clues_each(
        self, queries: Sequence[str], kinds: Sequence[ClueKind]
    ) -> list[tuple[Clue, ...]]:
        """See :meth:`.BeaconMemory.clues_each`; a clue leans on the documents of its gists."""
        asked = [(query, kind) for query in queries for kind in kinds]
        prompts = [
            self._prompts.render(CLUE_PROMPTS[kind], self._prompts.language(query), question=query)
            for query, kind in asked
        ]
        replies = await self.generate_each(prompts, sampling=BRIEF)
        found: dict[str, list[Clue]] = {query: [] for query in queries}
        for (query, kind), reply in zip(asked, replies, strict=True):
            found[query] += clues_in(reply, kind, (query,), self._ground)
        return [tuple(found[query]) for query in queries]

    async def generate_each(
        self, prompts: Sequence[str], *, sampling: Sampling = Sampling()
    ) -> list[Reply]:
        """See :meth:`.BeaconMemory.generate_each`; always with memory."""
        if not self._content.gists:
            raise InvalidInput("memory", "is empty; memorize something first")
        language = self._content.language
        before = (
            ChatMessage("user", self._prompts.render("context", language, context=self._text())),
            ChatMessage("assistant", self._prompts.render("acknowledged", language)),
        )
        asked = [(*before, ChatMessage("user", prompt)) for prompt in prompts]
        longest = self._sizes.longest_prompt(sampling.max_tokens or 0)
        if longest is not None:
            whole = [" ".join(message.content for message in messages) for messages in asked]
            if max(await self._sizes.count(whole), default=0) > longest:
                raise ModelError(
                    f"the gists of {len(self._content.gists)} windows and a question do not fit "
                    f"into the {longest} tokens of {self._generator.model}; take a larger window"
                )
        return await generate_all(self._generator, asked, sampling)

    async def summarize(self) -> Reply:
        """See :meth:`.BeaconMemory.summarize`."""
        prompt = self._prompts.render("sum", self._content.language)
        return (await self.generate_each([prompt], sampling=LONG))[0]

    # ------------------------------------------------------------ within

    async def _take_in(self, before: _Content, text: str, source: str, progress: Progress) -> None:
        check_name("source", source)
        if any(gist.source == source for gist in before.gists):
            raise InvalidInput("source", f"{source!r} is in this memory already")
        began = time.perf_counter()
        windows = await asyncio.to_thread(chunk_text, text, before.window)
        if not windows:
            raise InvalidInput("text", "is empty")
        gists = list(before.gists)
        longest = longest_gist(before.window)
        total = sum(window.tokens for window in windows)
        done = 0
        progress(0, total)
        for start in range(0, len(windows), 8):
            some = windows[start : start + 8]
            told = await self._retold([one.text for one in some if one.tokens > longest], longest)
            replies = iter(told)
            for one in some:
                retold = next(replies) if one.tokens > longest else one.text
                gists.append(GistText(retold, source, one.start, one.end, one.tokens))
                done += one.tokens
            progress(done, total)
        self._remember(
            before.model_copy(
                update={
                    "gists": tuple(gists),
                    "language": before.language or self._prompts.language(text),
                    "seconds": before.seconds + time.perf_counter() - began,
                }
            )
        )

    async def _retold(self, texts: Sequence[str], longest: int) -> list[str]:
        asked = [[ChatMessage("user", gist_prompt(self._prompts, text))] for text in texts]
        sampling = Sampling(temperature=0.0, max_tokens=longest)
        found = [
            reply.text.strip() for reply in await generate_all(self._generator, asked, sampling)
        ]
        if not all(found):
            raise MalformedReply("a window was retold as nothing", "".join(found))
        return found

    def _remember(self, content: _Content) -> None:
        chunks = [
            Chunk(gist.text, index, gist.start, gist.end, gist.tokens, gist.source)
            for index, gist in enumerate(content.gists)
        ]
        self._content, self._grounds = content, LexicalIndex(chunks)

    def _text(self) -> str:
        return "\n".join(gist.text for gist in self._content.gists)

    def _ground(self, line: str) -> Ground:
        gists = self._content.gists
        shares = (self._grounds.share(line, index) for index in range(len(gists)))
        places = tuple(index for index, share in enumerate(shares) if share >= SUPPORT)
        return Ground(tuple(dict.fromkeys(gists[index].source for index in places)), places)
