"""Answers of models kept in a file, so that a benchmark that was interrupted goes on.

The file quotes what the benchmark's data say; nothing of a user's memory goes through here.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.ports import (
    ChatMessage,
    Coverage,
    Delta,
    Generator,
    HistoryMemory,
    JsonSchema,
    Reply,
    Sampling,
    Usage,
)
from memoryscope_rag.schema import Clue, ClueKind, Message, Scope


class Answers:
    """Answers by what was asked, and what they cost when they were made.

    ``saved_ms`` adds up what answers took that are known already, ``tokens`` what the models wrote
    in all answers, known or not. With a ``folder`` they are also in ``answers.jsonl`` there.
    """

    def __init__(self, folder: Path | None) -> None:
        self.saved_ms = 0.0
        self.tokens = 0
        self._known: dict[str, dict[str, Any]] = {}
        self._file: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = folder / "answers.jsonl"
            self._read(self._file)

    def __len__(self) -> int:
        return len(self._known)

    def _read(self, file: Path) -> None:
        if not file.exists():
            return
        for line in file.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # a line that an interruption has cut short
            self._known[row["key"]] = row

    async def get(
        self,
        question: Sequence[object],
        ask: Callable[[], Awaitable[Any]],
        tokens: Callable[[Any], int],
        *,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> Any:
        """The answer to ``question``, plain data; ``ask`` gives one that is not known.

        ``tokens`` counts what a model wrote for an answer. ``ready`` goes before ``ask``, and its
        time counts for no answer.
        """
        key = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        row = self._known.get(key)
        if row is None:
            if ready is not None:
                await ready()
            began = time.perf_counter()
            answer = await ask()
            row = {
                "key": key,
                "answer": answer,
                "ms": 1000 * (time.perf_counter() - began),
                "tokens": tokens(answer),
            }
            self._known[key] = row
            if self._file is not None:
                with self._file.open("a", encoding="utf-8", newline="\n") as file:
                    file.write("\n" + json.dumps(row, ensure_ascii=False))
        else:
            self.saved_ms += row["ms"]
        self.tokens += row["tokens"]
        return row["answer"]


class RememberedMemory:
    """A history memory whose clues and attention are kept in ``answers``.

    ``made_of`` tells what a scope's memory is made of and by what; ``ready`` is called before the
    first question that nobody has answered yet, to make it.
    """

    def __init__(
        self,
        inner: HistoryMemory,
        answers: Answers,
        *,
        made_of: Mapping[Scope, str],
        ready: Callable[[Scope], Awaitable[None]],
    ) -> None:
        self._inner = inner
        self._answers = answers
        self._made_of = made_of
        self._ready = ready

    @property
    def model(self) -> str:
        """The inner memory's."""
        return self._inner.model

    async def coverage(self, scope: Scope) -> Coverage:
        """The inner memory's."""
        return await self._inner.coverage(scope)

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        """As the inner memory."""
        return await self._inner.write(scope, messages, keep=keep)

    async def drop(self, scope: Scope) -> None:
        """As the inner memory; answers stay."""
        await self._inner.drop(scope)

    async def clues(self, scope: Scope, query: str, kinds: Sequence[ClueKind]) -> tuple[Clue, ...]:
        """As the inner memory, once."""

        async def ask() -> list[dict[str, Any]]:
            return [asdict(clue) for clue in await self._inner.clues(scope, query, kinds)]

        rows = await self._answers.get(
            ("clues", self._made_of[scope], query, *kinds),
            ask,
            lambda rows: sum(estimate_tokens(row["text"]) for row in rows),
            ready=lambda: self._ready(scope),
        )
        return tuple(
            Clue(
                row["text"],
                row["kind"],
                row["weight"],
                tuple(row["provenance"]),
                tuple(row["blocks"]),
            )
            for row in rows
        )

    async def attention(self, scope: Scope, query: str) -> Mapping[str, float]:
        """As the inner memory, once."""

        async def ask() -> dict[str, float]:
            return dict(await self._inner.attention(scope, query))

        question = ("attention", self._made_of[scope], query)
        found: dict[str, float] = await self._answers.get(
            question, ask, lambda row: 0, ready=lambda: self._ready(scope)
        )
        return found

    async def close(self) -> None:
        """Close the inner memory."""
        await self._inner.close()


class RememberedGenerator:
    """A chat model whose replies are kept in ``answers``; it is asked at temperature 0."""

    def __init__(self, inner: Generator, answers: Answers) -> None:
        self._inner = inner
        self._answers = answers

    @property
    def model(self) -> str:
        """The inner generator's."""
        return self._inner.model

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """As the inner generator, once."""

        async def ask() -> dict[str, Any]:
            reply = await self._inner.generate(messages, sampling=sampling, schema=schema)
            return asdict(reply)

        question = (
            "reply",
            self.model,
            [asdict(message) for message in messages],
            asdict(sampling),
            schema,
        )
        row = await self._answers.get(question, ask, _written)
        return Reply(**{**row, "usage": Usage(**row["usage"])})

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncIterator[Delta]:
        """The whole reply in one piece."""
        reply = await self.generate(messages, sampling=sampling)
        yield Delta(reply.text)
        yield Delta("", reply)

    async def close(self) -> None:
        """Close the inner generator."""
        await self._inner.close()


def _written(reply: Mapping[str, Any]) -> int:
    counted: int = reply["usage"]["completion_tokens"]
    return counted or estimate_tokens(reply["text"])
