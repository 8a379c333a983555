"""update_insights: the value of each subject in the light of the facts that bear on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from memoryscope_rag.errors import MalformedReply, ModelError
from memoryscope_rag.lexical import language_of
from memoryscope_rag.models.structured import ask
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.asking import generator_of
from memoryscope_rag.workers.backend.facts import plain
from memoryscope_rag.workers.backend.ground import by_time, facts_of, resting
from memoryscope_rag.workers.backend.numbered import Item, Number, NumberedReply, SomeText
from memoryscope_rag.workers.backend.settle import settle
from memoryscope_rag.workers.backend.shown import numbered_facts
from memoryscope_rag.workers.backend.state import InsightUpdate, ReflectionState, Subject
from memoryscope_rag.workers.backend.subjects import subject_of, value_of
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.prompts import Prompt

MAX_VALUE = 500
"""Characters of a value: it stands in prompts, and what is longer is a story."""


def _short(text: str) -> str:
    if len(text) > MAX_VALUE:
        raise ValueError(f"has {len(text)} characters; sum it up in at most {MAX_VALUE}")
    return " ".join(text.split())


class AskedSubject(Item):
    """The answer on the subject with this number; no value: the facts say nothing on it."""

    n: Number
    value: Annotated[SomeText, AfterValidator(_short)] | None
    facts: list[Number]


class Values(NumberedReply):
    """An answer on every subject."""

    insights: list[AskedSubject]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.check_each_once(item.n for item in self.insights)
        return self


@dataclass(frozen=True, slots=True)
class Task:
    """A subject with the facts to judge it by. ``new`` are those of ``facts`` that are fresh and
    ``more`` says that further ones must wait. ``value`` is the present one; ``None`` for a new
    subject, and where some of its evidence is gone: a value must not live on without its ground.
    """

    subject: Subject
    facts: tuple[MemoryNode, ...]
    new: tuple[str, ...]
    value: str | None = None
    more: bool = False


def tasks_of(state: ReflectionState, facts_shown: int) -> tuple[list[Task], list[InsightUpdate]]:
    """What is to be judged, and what is settled without: insights that have lost all evidence.

    New subjects come first, since nothing else remembers them; then insights with lost evidence.
    ``facts_shown`` bounds the facts of a task: the oldest fresh ones, which the next ones build
    upon, and the newest of the others.
    """
    facts = facts_of(state)
    drafts, _ = settle(facts, state.verdicts, state.now)
    facts.update(drafts)
    fresh = {fact.id for fact in state.fresh}
    tasks: list[tuple[int, Task]] = []
    emptied: list[InsightUpdate] = []
    known = [subject for node in state.insights if (subject := subject_of(node))]
    for subject in (*state.subjects, *known):
        names = state.relevant.get(subject.name)
        if names is None:
            continue
        if not names:
            if subject.insight is not None:
                emptied.append(InsightUpdate(subject, "", ()))
            continue
        new = [name for name in names if name in fresh]
        ground = [name for name in names if name not in fresh]
        shown_new = new[:facts_shown]
        room = max(0, facts_shown - len(shown_new))
        shown_ground = ground[len(ground) - room :] if room else []
        rank, value = 0, None
        if subject.insight is not None:
            _, lost = resting(facts, subject.insight, state.now)
            rank, value = (1, None) if lost else (2, value_of(subject.insight))
        tasks.append(
            (
                rank,
                Task(
                    subject,
                    tuple(facts[name] for name in names if name in {*shown_ground, *shown_new}),
                    tuple(shown_new),
                    value,
                    len(shown_new) < len(new),
                ),
            )
        )
    tasks.sort(key=lambda pair: pair[0])  # stable: in the order of subjects otherwise
    return [task for _, task in tasks], emptied


@dataclass(slots=True)
class _Outcome:
    updates: list[InsightUpdate]
    settled: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class UpdateInsights(Worker[ReflectionState]):
    """Asks about a few subjects at a time: what their value is now, and which facts say so.

    The present value is shown, the facts with the dates on which they were said; the newest wins.
    At most ``calls`` of the state are made, the subjects left over are for the next run. A reply
    that cannot be read leaves its subjects as they are, and they are asked about again in two
    halves as far as the calls go; a failing model ends the asking.
    """

    name = "update_insights"
    reads = frozenset({"now", "fresh", "insights", "evidence", "calls", "subjects", "relevant"})
    uses = frozenset({"older", "verdicts", "failures"})
    gives = frozenset({"updates", "settled", "failures"})

    class Params(NoParams):
        """``subjects``: of one question. ``facts``: shown of each subject at most."""

        subjects: int = Field(4, ge=1, le=50)
        facts: int = Field(20, ge=1, le=200)

    params: Params

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give ``updates`` and ``settled``; what failed stands in ``failures``."""
        tasks, emptied = tasks_of(state, self.params.facts)
        outcome = _Outcome(emptied, [update.subject.name for update in emptied])
        size = self.params.subjects
        waiting = deque(tasks[start : start + size] for start in range(0, len(tasks), size))
        for _ in range(state.calls):
            if not waiting:
                break
            group = waiting.popleft()
            try:
                await self._ask(state, group, outcome)
            except MalformedReply as error:
                outcome.failures.append(f"{self.name}: {error}")
                if len(group) > 1:
                    # one subject must not keep the others from being judged for ever
                    half = len(group) // 2
                    waiting += [group[:half], group[half:]]
            except (ModelError, TimeoutError) as error:
                outcome.failures.append(f"{self.name}: {error or type(error).__name__}")
                break
        return replace(
            state,
            updates=tuple(outcome.updates),
            settled=tuple(outcome.settled),
            failures=(*state.failures, *outcome.failures),
        )

    async def _ask(self, state: ReflectionState, tasks: Sequence[Task], outcome: _Outcome) -> None:
        known = {fact.id: fact for task in tasks for fact in task.facts}
        facts = [known[name] for name in by_time(known.values())]
        number = {fact.id: index for index, fact in enumerate(facts, 1)}
        language = language_of("\n".join(fact.content for fact in facts))
        prompt = self.services.prompts.get(self.name, language)
        answer = await ask(
            generator_of(self),
            prompt.render(
                facts=numbered_facts(facts, state.now.tzinfo),
                subjects="\n".join(
                    _subject_line(index, task, number, language)
                    for index, task in enumerate(tasks, 1)
                ),
                count=str(len(tasks)),
                today=f"{state.now:%Y-%m-%d}",
            ),
            Values.of(len(tasks)),
            sampling=Sampling(temperature=0.0),
        )
        for item in answer.value.insights:
            task = tasks[item.n - 1]
            named = {facts[n - 1].id for n in item.facts if 1 <= n <= len(facts)}
            update = _update(task, item.value, named, _origin(prompt, answer.reply.model))
            if update is None:
                outcome.failures.append(f"{self.name}: a value without evidence among its facts")
                continue
            outcome.updates.append(update)
            if not task.more:
                outcome.settled.append(task.subject.name)


def _origin(prompt: Prompt, model: str) -> Mapping[str, str]:
    return {"worker": prompt.worker, "prompt": prompt.version, "model": model}


def _update(
    task: Task, value: str | None, named: set[str], origin: Mapping[str, str]
) -> InsightUpdate | None:
    """What an answer means; ``None`` for a value that no fact of the task is named for."""
    insight = task.subject.insight
    if value is None:
        if insight is None or task.value is None:  # nothing holds it, or not any more
            return InsightUpdate(task.subject, "", (), task.new, origin)
        return InsightUpdate(task.subject, task.value, insight.provenance, task.new, {})
    evidence = [fact for fact in task.facts if fact.id in named]
    if not evidence:
        return None
    ids = by_time(evidence)
    if task.value is not None and insight is not None and plain(value) == plain(task.value):
        # what supported the value still does
        ids = (*(name for name in insight.provenance if name not in ids), *ids)
    return InsightUpdate(task.subject, value, ids, task.new, origin)


def _subject_line(number: int, task: Task, facts: Mapping[str, int], language: str) -> str:
    numbers = ", ".join(str(facts[fact.id]) for fact in task.facts)
    value, none, of_facts = _WORDS.get(language, _WORDS["en"])
    return f"{number}. {task.subject.name} | {value}: {task.value or none} | {of_facts}: {numbers}"


_WORDS: Mapping[str, tuple[str, str, str]] = {
    "en": ("present value", "(none)", "facts"),
    "zh": ("现值", "（无）", "事实"),
}
"""What the parts of a line are called, by language."""
