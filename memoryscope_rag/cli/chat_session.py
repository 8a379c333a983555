"""One chat at the terminal: what it knows of itself, one turn, and the loop over the lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from memoryscope_rag.cli import chat_view as view
from memoryscope_rag.cli.chat_commands import Leave, obey
from memoryscope_rag.cli.output import is_terminal
from memoryscope_rag.errors import MemoryScopeError, ModelError

if TYPE_CHECKING:
    from memoryscope_rag.cli.chat_input import Lines
    from memoryscope_rag.cli.chat_model import ChatModel
    from memoryscope_rag.cli.settings import Settings
    from memoryscope_rag.operations.chat import ChatOptions
    from memoryscope_rag.operations.chat_history import History
    from memoryscope_rag.schema import Evidence, Scope
    from memoryscope_rag.sync import MemoryScope

PATIENCE_MS = 2000.0
"""What memory may take of a person's time: the first question of a process reads the store."""
SHOWN = 5
"""Memories that are shown where no model replies."""


@dataclass
class ChatSession:
    """A person's chat. ``session_id`` is made up from the time when it is not given."""

    memory: MemoryScope
    settings: Settings
    session_id: str
    model: ChatModel
    speaker: str | None = None
    system_prompt: str | None = None
    memory_prompt: str | None = None
    history: History = "auto"
    streaming: bool = True
    background: bool = True
    replying: bool = field(init=False)
    evidence: Evidence | None = field(default=None, init=False)
    shown: list[str] = field(default_factory=list, init=False)
    """Ids that were on the screen last, for completion."""

    def __post_init__(self) -> None:
        self.replying = self.model.name is not None

    @property
    def scope(self) -> Scope:
        """Whose memory."""
        return self.settings.scope

    @property
    def zone(self) -> ZoneInfo:
        """The zone that dates are shown in."""
        return ZoneInfo(self.memory.config.time_zone)

    def turn(self, text: str) -> None:
        """Take up one line of the user: record it, reply, keep the evidence for /why."""
        if not self.replying:
            self._recall(text)
        elif self.streaming:
            self._stream(text)
        else:
            self._reply(text)

    def _options(self) -> ChatOptions:
        from memoryscope_rag.ports import Sampling

        limit = self.memory.config.chat.budget_ms
        return {
            "speaker": self.speaker,
            "system_prompt": self.system_prompt,
            "memory_prompt": self.memory_prompt,
            "history": self.history,
            "budget_ms": None if limit is None else max(PATIENCE_MS, limit),
            "budget_tokens": self.model.tokens,
            "sampling": Sampling(max_tokens=self.model.reply_tokens),
            "explain": True,
        }

    def _reply(self, text: str) -> None:
        reply = self.memory.chat(
            text, scope=self.scope, session_id=self.session_id, **self._options()
        )
        view.piece(reply.text.strip() + "\n")
        self._close_turn(reply.evidence, reply.warnings)

    def _stream(self, text: str) -> None:
        stream = self.memory.chat_stream(
            text, scope=self.scope, session_id=self.session_id, **self._options()
        )
        said = ""
        try:
            for delta in stream:
                self.evidence = delta.evidence
                shown = delta.text if said else delta.text.lstrip()
                view.piece(shown)
                said += shown
                if delta.reply is not None:
                    view.piece("\n")
                    said = ""
                    self._close_turn(delta.evidence, delta.reply.warnings)
        finally:
            if said:
                view.piece("\n")
            stream.close()

    def _recall(self, text: str) -> None:
        evidence = self.memory.retrieve(
            text,
            scope=self.scope,
            limit=SHOWN,
            explain=True,
        )
        self.memory.record(text, scope=self.scope, session_id=self.session_id, speaker=self.speaker)
        self.evidence = evidence
        if evidence.items:
            view.evidence_table(evidence, self.zone)
        view.warnings(evidence.left_out)
        view.remark(
            "kept; the above is what memory holds"
            if evidence.items
            else "kept; memory holds nothing else that fits"
        )

    def _close_turn(self, evidence: Evidence, warnings: tuple[str, ...]) -> None:
        self.evidence = evidence
        view.warnings(warnings)
        if is_terminal() and any(item.packed for item in evidence.items):
            view.remark(f"({view.count_of(evidence)}; /why shows them)")


def new_session(now: datetime) -> str:
    """A name for a session that begins now."""
    return f"chat-{now:%Y%m%d-%H%M%S}"


def converse(talk: ChatSession, lines: Lines) -> None:
    """Read lines and take them up until the last one, /exit, or a confirmed Ctrl-C."""
    if lines.person:
        greet(talk)
    elif talk.model.name is None:
        view.remark(f"model: {talk.model.remark}")
    if talk.background:
        talk.memory.start()
    while True:
        try:
            line = lines.read()
        except KeyboardInterrupt:
            if _really(lines):
                break
            continue
        if line is None:
            break
        try:
            if line.startswith("/"):
                obey(talk, line, lines)
            elif line.strip():
                talk.turn(line)
        except Leave:
            break
        except KeyboardInterrupt:
            view.remark("stopped; what was said until then is kept")
        except ModelError as error:
            view.remark(f"the model failed: {error}; your words are kept", style="red")
        except MemoryScopeError as error:
            view.remark(str(error), style="red")
    if lines.person:
        view.remark("putting memory in order ...")


def _really(lines: Lines) -> bool:
    try:
        return lines.confirm("Leave the chat?")
    except KeyboardInterrupt:
        return True


def greet(talk: ChatSession) -> None:
    """Who, where, how much is known, what replies, and how to get on."""
    config = talk.memory.config
    counts = talk.memory.stats(scope=talk.scope)
    known = sum(number for kind, number in counts.nodes.items() if kind != "conversation")
    store = config.store
    where = store.path.absolute() if store.provider == "sqlite" else store.place
    view.paragraph(f"memory of {talk.scope.user_id} in {where}", style="bold")
    view.paragraph(f"{counts.messages} messages and {known} facts; session {talk.session_id}")
    view.paragraph(f"model: {talk.model.remark}")
    view.paragraph("/help lists commands, Ctrl-C stops a reply, Ctrl-D leaves")
