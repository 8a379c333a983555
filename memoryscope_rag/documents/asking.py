"""MemoRAG's three tasks: a memory leads a search, and what is found leads the answer.

``qa``: an answer from memory alone. ``memorag``: the memory's clues are searched for, and the
answer is written from what they and the query find. ``summarize``: so are its main points, for a
summary. (MemoRAG, arXiv 2409.05591, §2; its package's ``task_type``.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Protocol, get_args

from memoryscope_rag.beacon.prompts import MemoryPrompts, fill
from memoryscope_rag.clue_lines import clue_lines
from memoryscope_rag.documents.evidence import Evidence, Found, Passage
from memoryscope_rag.documents.options import DocumentOptions
from memoryscope_rag.documents.writers import Writer, fitting
from memoryscope_rag.errors import InvalidInput, suggest
from memoryscope_rag.ports import Reply, Sampling, Usage
from memoryscope_rag.schema import Clue, ClueKind, check_text

Task = Literal["memorag", "qa", "summarize"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
_PROMPTS: Final[Mapping[Task, str]] = MappingProxyType(
    {"memorag": "qa_gen", "qa": "qa", "summarize": "sum_gen"}
)
MARKS: Final[Mapping[Task, tuple[str, ...]]] = MappingProxyType(
    {"memorag": ("context", "input"), "qa": ("question",), "summarize": ("context",)}
)
"""The values that a template of each task holds."""


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """What a task gave.

    Attributes:
        text: the answer or the summary.
        clues: what the memory gave to search for; for ``summarize`` its main points.
        evidence: what the text was written from, in the order of the documents.
        draft: the memory's own answer, where it was asked for one.
        model: what wrote the text.
        usage: tokens of that.
        finish: why it ended; ``length``: ``max_tokens`` cut it.
        timings: milliseconds of each step; a batch goes through ``clues`` and ``write`` together.
        left_out: what was not used, such as passages beyond the budget.
    """

    text: str
    task: Task
    query: str = ""
    clues: tuple[Clue, ...] = ()
    evidence: tuple[Passage, ...] = ()
    draft: str = ""
    model: str = ""
    usage: Usage = Usage()
    finish: str = "stop"
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    left_out: tuple[str, ...] = ()


class Recalling(Protocol):
    """A memory that can be asked."""

    async def clues_each(
        self, queries: Sequence[str], kinds: Sequence[ClueKind]
    ) -> list[tuple[Clue, ...]]:
        """Clues of these kinds for each of ``queries``. Raises ModelError."""
        ...

    async def generate_each(
        self, prompts: Sequence[str], *, sampling: Sampling = Sampling()
    ) -> list[Reply]:
        """Replies from memory alone. Raises ModelError."""
        ...

    async def summarize(self) -> Reply:
        """The main points, one a line. Raises ModelError."""
        ...


@dataclass(frozen=True, slots=True)
class _Led:
    """Where one query has led: what was found, what fits, the prompt with it."""

    found: Found
    evidence: tuple[Passage, ...]
    prompt: str
    draft: str
    ms: float


class Asking:
    """Carries out tasks with one memory, the evidence behind it, and what writes the text."""

    def __init__(
        self,
        memory: Recalling,
        evidence: Evidence,
        writer: Writer,
        prompts: MemoryPrompts,
        options: DocumentOptions,
    ) -> None:
        self._memory = memory
        self._evidence = evidence
        self._writer = writer
        self._prompts = prompts
        self._options = options

    async def ask(
        self,
        queries: Sequence[str],
        task: Task,
        template: str | None,
        use_memory_answer: bool,
        sampling: Sampling,
    ) -> list[DocumentAnswer]:
        """See :meth:`.DocumentMemory.ask_many`; for ``summarize`` there is one empty query."""
        _check(queries, task, template, use_memory_answer)
        if task == "qa":
            return await self._from_memory(queries, template, sampling)
        began = time.perf_counter()
        if task == "summarize":
            points = (await self._memory.summarize()).text
            lines = clue_lines(points) or ((points.strip(),) if points.strip() else ())
            clues: list[tuple[Clue, ...]] = [tuple(Clue(line, "draft") for line in lines)]
        else:
            draft: tuple[ClueKind, ...] = ("draft",) if use_memory_answer else ()
            clues = await self._memory.clues_each(queries, ("span", "surrogate", *draft))
        recalled = _ms(began)
        led = [
            await self._led(query, some, task, template, sampling)
            for query, some in zip(queries, clues, strict=True)
        ]
        began = time.perf_counter()
        replies = await self._writer.write([one.prompt for one in led], sampling)
        written = _ms(began)
        return [
            _answer(
                reply,
                task,
                query,
                clues=one.found.clues,
                evidence=one.evidence,
                draft=one.draft,
                timings={"clues": recalled, "search": one.ms, "write": written},
                left_out=_left_out(one),
            )
            for query, one, reply in zip(queries, led, replies, strict=True)
        ]

    async def _from_memory(
        self, queries: Sequence[str], template: str | None, sampling: Sampling
    ) -> list[DocumentAnswer]:
        began = time.perf_counter()
        prompts = [self._filled("qa", template, query, question=query) for query in queries]
        replies = await self._memory.generate_each(prompts, sampling=sampling)
        timings = {"write": _ms(began)}
        return [
            _answer(reply, "qa", query, timings=timings)
            for query, reply in zip(queries, replies, strict=True)
        ]

    async def _led(
        self,
        query: str,
        clues: Sequence[Clue],
        task: Task,
        template: str | None,
        sampling: Sampling,
    ) -> _Led:
        began = time.perf_counter()
        options = self._options
        ranked = await found(self._evidence, query, clues, options)
        guesses = [clue.text for clue in ranked.clues if clue.kind == "draft"]
        draft = guesses[0] if guesses and task == "memorag" else ""

        def prompt(passages: Sequence[Passage]) -> str:
            told = [passage.text for passage in passages]
            language = query or "\n".join(told)
            if draft:
                key = self._prompts.language(language)
                told.append(self._prompts.render("draft", key, answer=draft))
            values = {"context": "\n\n".join(told)} | ({"input": query} if query else {})
            return self._filled(task, template, language, **values)

        evidence = await fitting(
            self._writer,
            ranked.ranked,
            prompt,
            reply_tokens=sampling.max_tokens or 0,
            budget_tokens=options.budget_tokens,
            whole=options.evidence == "union",
        )
        return _Led(ranked, evidence, prompt(evidence), draft, _ms(began))

    def _filled(self, task: Task, template: str | None, sample: str, **values: str) -> str:
        if template is None:
            template = self._prompts.get(_PROMPTS[task], self._prompts.language(sample))
        return fill(template, **values)


async def found(
    evidence: Evidence, query: str, clues: Sequence[Clue], options: DocumentOptions
) -> Found:
    """What ``query`` (which may be empty) and ``clues`` find, in the way of the options."""
    if options.evidence == "union":
        return await evidence.union(query, clues)
    return await evidence.fused(query, clues, options.hits)


def _check(
    queries: Sequence[str], task: Task, template: str | None, use_memory_answer: bool
) -> None:
    if task not in TASKS:
        raise InvalidInput("task", f"{task!r} is unknown; {suggest(task, TASKS)}")
    for query in queries:
        blank = not check_text("query", query).strip()
        if blank != (task == "summarize"):
            raise InvalidInput("query", "is empty" if blank else "is not for the task 'summarize'")
    if use_memory_answer and task != "memorag":
        raise InvalidInput("use_memory_answer", f"is for the task 'memorag', not {task!r}")
    if template is not None:
        fill(template, **dict.fromkeys(MARKS[task], ""))


def _answer(
    reply: Reply,
    task: Task,
    query: str,
    *,
    clues: tuple[Clue, ...] = (),
    evidence: tuple[Passage, ...] = (),
    draft: str = "",
    timings: Mapping[str, float],
    left_out: tuple[str, ...] = (),
) -> DocumentAnswer:
    return DocumentAnswer(
        reply.text,
        task,
        query,
        clues,
        evidence,
        draft,
        reply.model,
        reply.usage,
        reply.finish,
        MappingProxyType(dict(timings)),
        left_out,
    )


def _left_out(led: _Led) -> tuple[str, ...]:
    beyond = len(led.found.ranked) - len(led.evidence)
    named = (
        (led.found.unsupported, "clues that nothing echoes"),
        (beyond, "passages beyond the budget"),
    )
    return tuple(f"{what}: {count}" for count, what in named if count)


def _ms(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
