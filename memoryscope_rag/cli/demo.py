"""demo: two invented people's chats go in, questions come out answered, one fact is forgotten."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from memoryscope_rag.cli.explain import reasons
from memoryscope_rag.cli.output import counted, name_of, one_line, progress, say, stamp, who_of
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.schema import Evidence, EvidenceItem
    from memoryscope_rag.sync import MemoryScope

SHOWN = 2
"""Items shown of each answer."""
FORGOTTEN = "ann-s02-05"
"""The message that is forgotten: what Ann is allergic to."""
FORGOTTEN_WORD = "hazelnuts"
ALSO_FORGOTTEN = ("ann-s02-04", "ann-s02-06")
"""The turns that repeat it."""


@dataclass(frozen=True, slots=True)
class Question:
    """Asked by ``user`` of their own memory."""

    user: str
    text: str


ZONES = {"ann": ZoneInfo("Europe/London"), "wei": ZoneInfo("Asia/Shanghai")}
NOW = datetime(2026, 7, 5, 10, 0, tzinfo=ZONES["ann"])
"""The Sunday on which all questions are asked, so that "last month" means the same every time."""

QUESTIONS = (
    Question("ann", "What is Ann's new job?"),
    Question("ann", "When is Ann's birthday?"),
    Question("ann", "What is Ann allergic to?"),
    Question("ann", "What did Clara and Ann do last month?"),
    Question("ann", "Does Ann drink coffee?"),
    Question("wei", "我的生日是哪一天？"),
    Question("wei", "我对什么过敏？"),
    Question("wei", "上个月我们搬到了哪里？"),
    Question("ann", "Who won the football match?"),
)


@with_settings(scope=False)
def demo(settings: Settings) -> None:
    """Show what this does, with two sample histories; nothing is kept unless --store is given."""
    with _place(settings) as path:
        _Demo(settings, path).run()


@contextmanager
def _place(settings: Settings) -> Iterator[Path]:
    if settings.store is not None:
        store = settings.config().store
        if store.provider != "sqlite":
            raise InvalidInput("store", "the demo looks into the files of its store: name a file")
        store.path.parent.mkdir(parents=True, exist_ok=True)
        yield store.path
        return
    with tempfile.TemporaryDirectory(prefix="memoryscope-rag-demo-") as folder:
        yield Path(folder) / "memory.db"


class _Demo:
    def __init__(self, settings: Settings, path: Path) -> None:
        self.settings = settings
        self.path = path
        self.milliseconds: list[float] = []

    def run(self) -> None:
        """The whole show."""
        from memoryscope_rag.sync import MemoryScope

        with MemoryScope.open(self.path, config=self.settings.config()) as memory:
            self._import(memory)
            for question in QUESTIONS:
                self._ask(memory, question)
            self._pack(memory)
            self._forget(memory)
        self._close()

    def _import(self, memory: MemoryScope) -> None:
        _heading("Two people have been chatting with an assistant for five months")
        for user in ZONES:
            text = resources.files("memoryscope_rag.cli").joinpath("sample", f"{user}.jsonl")
            lines = text.read_text("utf-8").splitlines()
            started = time.perf_counter()
            with progress(user) as report:
                memory.import_(lines, scope=user, progress=report)
            seconds = time.perf_counter() - started
            log = memory.messages(scope=user)
            sessions = len({message.session_id for message in log})
            first, last = (f"{m.created_at:%Y-%m-%d}" for m in (log[0], log[-1]))
            say(
                f"{user}: {len(log)} messages in {sessions} sessions, {first} to {last}, "
                f"recorded in {seconds:.1f} s"
            )
        name = memory.config.embedder.name
        say(f"Vectors by {name}, on this machine. No language model takes part in anything below.")
        say(f"It is {stamp(NOW, ZONES['ann'])}. Each asks only their own memory.")

    def _retrieve(self, memory: MemoryScope, question: Question) -> Evidence:
        started = time.perf_counter()
        evidence = memory.retrieve(
            question.text,
            scope=question.user,
            now=NOW,
            time_zone=str(ZONES[question.user]),
            limit=5,
            explain=True,
        )
        self.milliseconds.append((time.perf_counter() - started) * 1000)
        return evidence

    def _ask(self, memory: MemoryScope, question: Question) -> None:
        evidence = self._retrieve(memory, question)
        say()
        say(f"{question.user} > {question.text}", style="bold")
        for interval in evidence.intervals:
            start, end = interval.start, interval.end
            spoken = [
                f"{t.astimezone(ZONES[question.user]):%Y-%m-%d}" if t else "…" for t in (start, end)
            ]
            say(f"  time asked for: {spoken[0]} up to {spoken[1]}")
        if not evidence.items:
            say("  nothing: no memory fits this question", style="yellow")
        for item in evidence.items[:SHOWN]:
            self._item(item, question.user)
        more = len(evidence.items) - SHOWN
        if more > 0:
            say(f"  … and {more} more")

    @staticmethod
    def _item(item: EvidenceItem, user: str) -> None:
        node = item.node
        when = stamp(node.said_at, ZONES[user])
        say(f"  {one_line(node.content)}", style="green")
        say(f"      {when}, {who_of(node)}, {name_of(node)}, score {item.score:.1f}")
        say(f"      why: {reasons(item) or 'best of what there is'}", style="dim")

    def _pack(self, memory: MemoryScope) -> None:
        question = QUESTIONS[0]
        evidence = memory.retrieve(
            question.text,
            scope=question.user,
            now=NOW,
            time_zone=str(ZONES[question.user]),
            limit=4,
            budget_tokens=200,
        )
        _heading("What your prompt gets")
        say(f"retrieve({question.text!r}, limit=4, budget_tokens=200).text, in order of time:")
        say()
        for line in evidence.text.splitlines():
            say(line)
        say()
        say(f"({evidence.tokens} tokens; ids, dates and the turns beside the hits included)")

    def _forget(self, memory: MemoryScope) -> None:
        question = Question("ann", "What is Ann allergic to?")
        _heading("Forgetting is real")
        ids = [FORGOTTEN, *ALSO_FORGOTTEN]
        before = _files_with(self.path, FORGOTTEN_WORD)
        say(f"Ann: forget {', '.join(ids)}, where I spoke of {FORGOTTEN_WORD}.")
        say(f"files of the store that hold the word {FORGOTTEN_WORD!r} before: {before}")
        gone = memory.forget(scope="ann", message_ids=ids)
        proof = "searched for and not found" if gone.proven else "STILL FOUND"
        removed = f"{counted(gone.messages, 'message')} and {counted(gone.nodes, 'node')}"
        say(f"removed {removed}; {proof}")
        say(f"files that hold it after: {_files_with(self.path, FORGOTTEN_WORD)}")
        evidence = self._retrieve(memory, question)
        told = [i for i in evidence.items if FORGOTTEN_WORD in i.node.content]
        say(f"asked again {question.text!r}: {len(told)} of {len(evidence.items)} items name it")

    def _close(self) -> None:
        _heading("In numbers")
        times = sorted(self.milliseconds)
        say(
            f"{len(times)} retrievals: median {times[len(times) // 2]:.1f} ms, "
            f"slowest {times[-1]:.1f} ms, embedding the question included"
        )
        if self.settings.store is not None:
            say(f"the memory stays in {self.path}")
        _heading("The same in your code")
        say("from memoryscope_rag import MemoryScope")
        say('with MemoryScope.open("memory.db") as memory:')
        say('    memory.record("I start at the museum on 1 June", scope="ann")')
        say('    print(memory.retrieve("Where does Ann work?", scope="ann").text)')


def _heading(text: str) -> None:
    say()
    say(text, style="bold cyan")
    say("-" * len(text), style="bold cyan")


def _files_with(path: Path, word: str) -> int:
    """How many files of the store hold ``word``; they are read as they lie on the disk."""
    needle = word.encode()
    return sum(needle in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
