"""``bench clues``: what a beacon memory adds to the ranker, on conversations with evidence.

What is measured is what users get: histories are recorded in a store, a refresh reads them, and
the packaged profiles of retrieval run over both. Beside them stand the same clues without the
memory (HyDE), and each system with weights of attention and clues that were fitted beside the
ranker's score on the other conversations. The ranker is the shipped one's fit without this data
set.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from memoryscope_rag.configs.model import RetrievalConfig
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.evaluation import datasets, metrics
from memoryscope_rag.evaluation.answers import Answers, RememberedGenerator, RememberedMemory
from memoryscope_rag.evaluation.clue_figures import ALONE, AUTO, LEARNT, Outcome, judge
from memoryscope_rag.evaluation.datasets import History, Question
from memoryscope_rag.evaluation.fit import without_locomo
from memoryscope_rag.evaluation.gather import message_of, shortened
from memoryscope_rag.evaluation.metrics import BEYOND
from memoryscope_rag.evaluation.places import temporary
from memoryscope_rag.evaluation.report import Report
from memoryscope_rag.indexing import stem_of
from memoryscope_rag.operations.base import Operation, StageSpec, load_operation
from memoryscope_rag.operations.profiles import FILES
from memoryscope_rag.operations.record import record
from memoryscope_rag.operations.refresh import RefreshReport, build_refresh, refresh
from memoryscope_rag.operations.retrieve import build_retrieve, search
from memoryscope_rag.ports import Clock, Embedder, Generator, HistoryMemory, MemoryStore
from memoryscope_rag.schema import Evidence, Scope
from memoryscope_rag.scoring import SIGNALS, LinearRanker
from memoryscope_rag.workers.base import Deadline, Services
from memoryscope_rag.workers.frontend import FRONTEND, RetrievalState
from memoryscope_rag.workers.frontend.ranking import rank
from memoryscope_rag.workers.frontend.recall_clues import RecallClues
from memoryscope_rag.workers.prompts import Prompts

_SEARCH: Final[tuple[StageSpec, ...]] = (
    "query_clues",
    "retrieve_candidates",
    "support_clues",
    "semantic_rank",
    "fuse_rerank",
    "pack_evidence",
)
_OF_MEMORY: Final[Mapping[str, str | tuple[StageSpec, ...]]] = MappingProxyType(
    {
        "read-out": FILES["read"],
        "clues": ("recall_clues", *_SEARCH),
        "read-out + clues": FILES["clues"],
        "deep": FILES["deep"],
    }
)
_OF_MODEL: Final[Mapping[str, str | tuple[StageSpec, ...]]] = MappingProxyType(
    {"HyDE": ("hyde_clues", *_SEARCH)}
)
_OF_BOTH: Final[Mapping[str, str | tuple[StageSpec, ...]]] = MappingProxyType(
    {"clues + HyDE": ("recall_clues", {"hyde_clues": {"beside": True}}, *_SEARCH)}
)
"""What runs after the profile ``fast``: a packaged operation, or stages."""
_PROFILES: Final = {"read": "read-out", "clues": "read-out + clues", "deep": "deep"}
"""The systems that are profiles; ``auto`` chooses between the ranker alone and one of them."""
_AUTO = RetrievalConfig().auto
KINDS = RecallClues.Params().kinds
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClueModels:
    """What takes part in a run.

    ``memory`` reads and is asked; ``made_by`` tells all its settings, so that answers of two are
    never mixed. ``generator`` writes for HyDE and for the second round. Where one of them is
    ``None``, what needs it is left out.
    """

    embedder: Embedder | None
    ranker: LinearRanker
    clock: Clock
    memory: HistoryMemory | None = None
    made_by: str = ""
    generator: Generator | None = None
    prompts: Prompts | None = None


async def run_clues(
    path: Path | str,
    models: ClueModels,
    *,
    cache: Path | None = None,
    histories: int | None = None,
    sessions: int | None = None,
    questions: int | None = None,
    say: Say = lambda text: None,
) -> Report:
    """The figures on a file of LoCoMo; ``models`` stay open.

    Args:
        cache: a folder for the models' answers, from which a run that was interrupted goes on.
        histories: only so many, at least two.
        sessions: of each history only the first so many, with the questions that they answer.
        questions: of each history at most so many, evenly spread.

    Raises:
        InvalidInput: fewer than two histories are left, there is neither memory nor generator, or
            the memory cannot read a history.
    """
    chosen = [shortened(one, sessions, questions) for one in datasets.load_locomo(path)[:histories]]
    chosen = [history for history in chosen if history.questions]
    if len(chosen) < 2:
        raise InvalidInput("histories", "fewer than two are left; weights are cross-validated")
    if models.memory is None and models.generator is None:
        raise InvalidInput("memory", "is none, and so is the chat model: nothing gives clues")
    ranker, which = without_locomo(models.ranker)
    hand_set = {name: models.ranker.weights.get(name, 0.0) for name in LEARNT}
    models = replace(models, ranker=replace(ranker, weights={**ranker.weights, **hand_set}))
    async with temporary() as place:
        spec = None if models.embedder is None else models.embedder.spec
        store = await place.open("histories", spec)
        try:
            bench = _Bench(models, store, chosen, Answers(cache), say)
            outcomes = await bench.ask_all()
        finally:
            await store.close()
    systems, categories, learnt = judge(outcomes, models.ranker)
    return Report(
        benchmark="clues",
        data=Path(path).name,
        embedder="none" if spec is None else spec.name,
        n=sum(len(history.questions) for history in chosen),
        systems=systems,
        categories=categories,
        notes=(
            which,
            "the first row of a system has the shipped weights of " + ", ".join(LEARNT),
            "fitted: these weights beside the ranker's, fitted on the other conversations; on all:",
            *(f"  {name}: {weights}" for name, weights in learnt.items()),
            f"beyond@{BEYOND}: evidence in the first {BEYOND} and not in the ranker's own",
            "unsupported: the share of clues that no candidate echoes, which are dropped",
            "ms: median of a retrieval, models included; tokens: written by models, a question",
            *bench.notes(),
        ),
    )


class _Bench:
    """The systems over a store of histories, asked one question after the other."""

    def __init__(
        self,
        models: ClueModels,
        store: MemoryStore,
        histories: Sequence[History],
        answers: Answers,
        say: Say,
    ) -> None:
        self._histories = histories
        self._models = models
        self._answers = answers
        self._say = say
        self._left_out: Counter[str] = Counter()
        self._read: dict[Scope, RefreshReport] = {}
        prompts = models.prompts or Prompts.load()
        memory, generator = models.memory, models.generator
        self._plain = Services(
            store, models.ranker, models.clock, models.embedder, prompts=prompts, memory=memory
        )
        made_of = {Scope(one.id): f"{models.made_by} {_digest(one)}" for one in histories}
        self._services = replace(
            self._plain,
            memory=memory and RememberedMemory(memory, answers, made_of=made_of, ready=self._ready),
            generator=generator and RememberedGenerator(generator, answers),
        )
        self._fast = build_retrieve(self._services)
        wanted = {
            **(_OF_MEMORY if memory else {}),
            **(_OF_MODEL if generator else {}),
            **(_OF_BOTH if memory and generator else {}),
        }
        self._systems = {name: self._build(name, stages) for name, stages in wanted.items()}
        self._names = (ALONE, *([AUTO] if memory else []), *self._systems)

    def notes(self) -> Iterator[str]:
        """Which models took part, what was read, what was left out."""
        if self._models.memory is not None:
            yield f"memory: {self._models.memory.model} {self._models.made_by}".rstrip()
        if self._models.generator is not None:
            yield f"HyDE and second round: {self._models.generator.model}"
        if reports := self._read.values():
            yield (
                f"read in this run: {sum(one.covered for one in reports)} messages, "
                f"{sum(one.tokens for one in reports)} tokens, "
                f"{sum(one.seconds for one in reports):.0f} s, "
                f"{sum(one.bytes for one in reports) / 2**20:.1f} MiB"
            )
        for reason, times in self._left_out.items():
            yield f"left out {times} times: {reason}"

    async def _ready(self, scope: Scope) -> None:
        """Have the memory of ``scope`` made before its first question."""
        if scope in self._read:
            return
        report = await refresh(self._plain, scope, operation=build_refresh(self._plain))
        if report.failed is not None:
            raise InvalidInput("memory", f"cannot read {scope.user_id}: {report.failed}")
        self._read[scope] = report
        self._say(f"{scope.user_id}: {report.read} messages read, {report.seconds:.0f} s")

    def _build(self, name: str, stages: str | tuple[StageSpec, ...]) -> Operation[RetrievalState]:
        return load_operation(
            name,
            RetrievalState,
            None if isinstance(stages, str) else stages,
            default=stages if isinstance(stages, str) else "",
            ours=FRONTEND,
            extra=None,
            services=self._services,
            gives="result",
            after=self._fast,
        )

    async def ask_all(self) -> dict[str, list[Outcome]]:
        """By system the outcome of every question."""
        found: dict[str, list[Outcome]] = {name: [] for name in self._names}
        for history in self._histories:
            messages = [message_of(turn) for turn in history.turns]
            await record(self._services.store, self._services.embedder, Scope(history.id), messages)
            began = time.perf_counter()
            for number, question in enumerate(history.questions, 1):
                for name, outcome in (await self._ask(history, question)).items():
                    found[name].append(outcome)
                took = time.perf_counter() - began
                self._say(f"{history.id}: {number} of {len(history.questions)}, {took:.0f} s")
        return found

    async def _ask(self, history: History, question: Question) -> dict[str, Outcome]:
        state = RetrievalState(
            scope=Scope(history.id),
            text=question.text,
            now=question.at,
            kinds=frozenset({"conversation"}),
            limit=BEYOND,
            budget_tokens=0,
            deadline=Deadline(),
            floor=False,
            explain=False,
            as_of=None,
            during=None,
            session_id=None,
            current_session=None,
        )
        memory = self._services.memory
        if memory is not None:  # one after the other, so that each is timed by itself
            with suppress(ModelError):  # it will be left out, and counted
                await memory.attention(state.scope, state.text)
                await memory.clues(state.scope, state.text, KINDS)
        began = time.perf_counter()
        first, evidence = await search(self._fast, state)
        fast_ms = 1000 * (time.perf_counter() - began)
        found = {ALONE: self._outcome(history, question, first, evidence, fast_ms, 0)}
        for name, operation in self._systems.items():
            saved, tokens = self._answers.saved_ms, self._answers.tokens
            began = time.perf_counter()
            after, evidence = await search(operation, first)
            self._left_out.update(f"{name}: {reason}" for reason in evidence.left_out)
            took = 1000 * (time.perf_counter() - began) + self._answers.saved_ms - saved
            wrote = self._answers.tokens - tokens
            found[name] = self._outcome(history, question, after, evidence, fast_ms + took, wrote)
        if AUTO in self._names:
            sure = first.confidence >= _AUTO.below
            found[AUTO] = found[ALONE if sure else _PROFILES[_AUTO.then]]
        return found

    def _outcome(
        self,
        history: History,
        question: Question,
        state: RetrievalState,
        evidence: Evidence,
        ms: float,
        tokens: int,
    ) -> Outcome:
        best = rank(state, self._services.ranker, len(state.evidence or ())).best
        return Outcome(
            history=history.id,
            question=question,
            ranking=metrics.first_seen([item.node.provenance[0] for item in evidence.items]),
            turns=tuple(stem_of(one.id) for one in best),
            rows=np.array([one.row for one in best], dtype=np.float32).reshape(-1, len(SIGNALS)),
            ms=ms,
            tokens=tokens,
            clues=len(evidence.clues) + evidence.unsupported,
            unsupported=evidence.unsupported,
        )


def _digest(history: History) -> str:
    said = "\n".join(
        f"{turn.id} {turn.at} {turn.speaker}: {turn.content}" for turn in history.turns
    )
    return hashlib.sha256(said.encode()).hexdigest()[:16]
