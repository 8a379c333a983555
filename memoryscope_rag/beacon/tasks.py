"""MemoRAG's three tasks: a memory leads a search, and what is found leads the answer.

``qa``: an answer from memory alone. ``memorag``: the memory's clues are searched for, and the
answer is written from what they find. ``summarize``: so are its main points, for a summary.
(MemoRAG, arXiv 2409.05591, §2; its package's ``task_type``.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from memoryscope_rag.beacon.clues import clue_lines
from memoryscope_rag.beacon.memory import BeaconMemory
from memoryscope_rag.beacon.prompts import MemoryPrompts, fill
from memoryscope_rag.errors import InvalidInput, suggest
from memoryscope_rag.ports import ChatMessage, Generator, Reply, Sampling
from memoryscope_rag.schema import Clue

Task = Literal["qa", "memorag", "summarize"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
Search = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""The passages for some queries, best for all of them together, in the order of the text."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task gave: the reply, and the clues and passages that it rests on."""

    reply: Reply
    clues: tuple[Clue, ...] = ()
    passages: tuple[str, ...] = ()


class Tasks:
    """Carries out tasks with one memory.

    Args:
        search: finds passages; for ``memorag`` and ``summarize``.
        generator: writes the final text; by default the memory's own model, without its memory.
        prompts: in place of the packaged ones.
    """

    def __init__(
        self,
        memory: BeaconMemory,
        search: Search | None = None,
        generator: Generator | None = None,
        prompts: MemoryPrompts | None = None,
    ) -> None:
        self._memory = memory
        self._search = search
        self._generator = generator
        self._prompts = MemoryPrompts.load() if prompts is None else prompts

    async def carry_out(
        self,
        task: Task,
        query: str = "",
        *,
        template: str | None = None,
        draft: bool = False,
        max_tokens: int = 256,
    ) -> Outcome:
        """Do ``task``.

        Args:
            query: the question; of ``summarize`` none.
            template: in place of the final prompt, with ``$context`` and, but for ``summarize``,
                ``$input``.
            draft: for ``memorag``: the memory's own answer is one more query and one more passage.
            max_tokens: of the final text.

        Raises:
            InvalidInput: an unknown task, no query, an empty memory, or nothing to search with.
            ConfigError: the template lacks a mark.
            ModelError: a model failed.
        """
        if task not in TASKS:
            raise InvalidInput("task", f"{task!r} is unknown; {suggest(task, TASKS)}")
        if task == "qa":
            return Outcome(await self._memory.answer(query))
        if self._search is None:
            raise InvalidInput("search", f"the task {task!r} needs one")
        if task == "summarize":
            points = (await self._memory.summarize()).text
            clues = tuple(Clue(line, "draft") for line in clue_lines(points))
            queries = [clue.text for clue in clues] or [points]
        else:
            clues = await self._memory.clues(query, draft=draft)
            queries = [*(clue.text for clue in clues), query]
        passages = tuple(await self._search(queries))
        language = self._prompts.language(query or "\n".join(passages))
        guesses = [clue.text for clue in clues if clue.kind == "draft"] if task == "memorag" else []
        told = [*passages, *(self._prompts.render("draft", language, answer=g) for g in guesses)]
        values = {"context": "\n\n".join(told), **({"input": query} if task == "memorag" else {})}
        key = "sum_gen" if task == "summarize" else "qa_gen"
        prompt = fill(template or self._prompts.get(key, language), **values)
        return Outcome(await self._written(prompt, max_tokens), clues, passages)

    async def _written(self, prompt: str, max_tokens: int) -> Reply:
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
        if self._generator is not None:
            asked = [ChatMessage("user", prompt)]
            return await self._generator.generate(asked, sampling=sampling)
        return await self._memory.generate(prompt, sampling=sampling, use_memory=False)
