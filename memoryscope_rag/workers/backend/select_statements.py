"""select_statements: the facts in messages by rules alone, verbatim, without a language model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from memoryscope_rag import lexical
from memoryscope_rag.schema import Message
from memoryscope_rag.workers.backend.facts import fact_id
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact
from memoryscope_rag.workers.backend.subjects import SOMEBODY
from memoryscope_rag.workers.base import NoParams, Worker

if TYPE_CHECKING:
    from memoryscope_rag.statements import Slot, Statement

VERSION: Final = "rules/1"
"""Changes when the rules select otherwise; kept with every fact that they drew."""
KEYWORDS: Final = 12
"""Most keywords of a fact."""


class SelectStatements(Worker[ConsolidationState]):
    """Takes sentences that state something about the speaker or somebody near to them.

    Questions, thanks, requests, hypotheticals, fiction and role-play are left out, also when an
    earlier turn opened the story. Scores as info_filter's: 1 is hypothetical, invented or vague.
    """

    name = "select_statements"
    reads = frozenset({"messages"})
    uses = frozenset({"before"})
    gives = frozenset({"scores", "facts"})

    class Params(NoParams):
        """``keep``: the score from which a statement is a fact. ``assistant``: take the
        assistant's turns, too.
        """

        keep: Literal[2, 3] = Field(2)
        assistant: bool = False

    params: Params

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``scores`` of the messages that are worth a fact, and ``facts``."""
        # some tens of milliseconds a batch: not in the event loop, where somebody may retrieve
        return await asyncio.to_thread(self._select, state)

    def _select(self, state: ConsolidationState) -> ConsolidationState:
        from memoryscope_rag.statements import Turn, read  # patterns, when first needed

        roles = {"user", "assistant"} if self.params.assistant else {"user"}
        wanted = {message.id for message in state.messages if message.role in roles}
        scores: dict[str, int] = {}
        facts: dict[str, Fact] = {}
        for turns in _sessions((*state.before, *state.messages)).values():
            said = read([Turn(turn.content, turn.speaker or turn.role) for turn in turns])
            for message, result in zip(turns, said, strict=True):
                if message.id not in wanted:
                    continue
                for fact in self._facts(message, result.statements):
                    facts.setdefault(fact.id, fact)
                    scores[message.id] = max(scores.get(message.id, 0), fact.score)
        ordered = sorted(facts.values(), key=lambda fact: (fact.said_at, fact.seq))
        return replace(state, scores=scores, facts=tuple(ordered))

    def _facts(self, message: Message, found: Sequence[Statement]) -> Iterator[Fact]:
        for statement in found:
            if statement.score >= self.params.keep:
                yield _fact(message, statement)


def _sessions(messages: Sequence[Message]) -> Mapping[str, list[Message]]:
    """The messages by session, each once, in order."""
    sessions: dict[str, list[Message]] = {}
    for message in sorted({m.id: m for m in messages}.values(), key=lambda m: m.seq):
        sessions.setdefault(message.session_id, []).append(message)
    return sessions


def _fact(message: Message, statement: Statement) -> Fact:
    slot = _leading(statement.slots)
    names = statement.language.attribute_names
    return Fact(
        id=fact_id((message.id,), statement.text),
        content=statement.text,
        sources=(message.id,),
        said_at=message.created_at,
        session_id=message.session_id,
        seq=message.seq,
        speaker=message.speaker,
        keywords=tuple(dict.fromkeys(lexical.analyze(statement.text)))[:KEYWORDS],
        subject=(None if slot is None else slot.who.label) or message.speaker or SOMEBODY,
        attribute=None if slot is None else names.get(slot.attribute, slot.attribute),
        value=None if slot is None or slot.denied else slot.value,
        score=statement.score,
        origin={"worker": SelectStatements.name, "rules": VERSION},
    )


def _leading(slots: Sequence[Slot]) -> Slot | None:
    """The slot that names a fact: the first that holds one value at a time, else the first; that
    somebody has a name only if nothing else is said.
    """
    telling = [slot for slot in slots if slot.attribute != "name"] or list(slots)
    return next((slot for slot in telling if slot.single), telling[0] if telling else None)
