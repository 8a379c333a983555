"""resolve_times: "yesterday" becomes a day, "my birthday" a day that comes back every year."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from memoryscope_rag.lexical import language_of
from memoryscope_rag.schema import Event, Grain, Message, Recurrence
from memoryscope_rag.temporal import TimeExpression, find_times, telling
from memoryscope_rag.workers.backend.dates import iso_event, written
from memoryscope_rag.workers.backend.facts import last_said
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact
from memoryscope_rag.workers.base import NoParams, Worker

# A year is in it already, or it is no date at all.
_PLAIN = re.compile(
    r"\d{4}|[〇零一二三四五六七八九]{4}年|最近|近来|近來|近日|近期"
    r"|\b(?:recently|lately|these days)\b"
)
_SENTENCES = re.compile(r"(?<=[.!?。！？\n])\s*")
_END = re.compile(r"[.!?。！？…\s]*$")
# The day itself, not the party for it: "my birthday is …", "yesterday was her birthday".
_DAY = (
    r"(?:birthdays?|b-?days?|(?:wedding )?anniversar(?:y|ies))"
    r"(?!(?:'s)?\s+(?:part|present|gift|cake|dinner|card|celebrat|trip|week))"
)
_YEARLY = re.compile(
    rf"\b{_DAY}\s+(?:is|was|will be|falls?|fell|comes?)\b"
    rf"|\b(?:is|was|will be|it's|be|'s)\s+(?:\S+\s+){{0,4}}?{_DAY}\b"
    rf"|\b(?:celebrate[sd]?|have|had|has)\s+(?:my|his|her|their|our)\s+(?:\S+\s+){{0,2}}?{_DAY}\b"
    rf"|\b{_DAY}\s*(?:,|:|\(|-)?\s*(?:today|yesterday|tomorrow)\b"
    r"|\b(?:was|were|am|is) born (?:on|in)\b|\bturned \d{1,3}\b",
    re.IGNORECASE,
)
_YEARLY_ZH = re.compile(
    r"(?:生日|生辰|结婚纪念日|結婚紀念日|周年纪念日|纪念日)(?!会|會|聚|礼|禮|蛋糕|派对|派對|宴|晚|party)"
    r"|出生(?:于|於|在|的)?"
)
_LUNAR = re.compile(r"农历|農曆|阴历|陰曆|\blunar\b", re.IGNORECASE)


class ResolveTimes(Worker[ConsolidationState]):
    """Gives facts their event, by rules, from the words in which the time was said.

    Those words are read relative to when their message was said, in the user's zone; where there
    are none, the fact's own words are. A model's ISO date counts only where the rules read nothing
    out of words that the message does hold. Birthdays and anniversaries come back every year.
    """

    name = "resolve_times"
    reads = frozenset({"messages", "now", "facts"})
    gives = frozenset({"facts"})

    class Params(NoParams):
        """``write``: write the date into facts that say it relative to the day they were said."""

        write: bool = True

    params: Params

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``facts`` with their events."""
        messages = {message.id: message for message in state.messages}
        return replace(state, facts=tuple(self._resolve(f, messages, state) for f in state.facts))

    def _resolve(
        self, fact: Fact, messages: Mapping[str, Message], state: ConsolidationState
    ) -> Fact:
        sources = [messages[name] for name in fact.sources if name in messages]
        zone = state.now.tzinfo
        if fact.event is not None or not sources:
            return fact
        last = last_said(sources)
        source = _saying(fact.when, sources) or last
        around = _sentence(fact.when, source.content)
        phrase = _read(fact.when or "", source.created_at.astimezone(zone), around)
        mine = _read(fact.content, last.created_at.astimezone(zone), fact.content)
        said = phrase or mine
        event = None if said is None else said.event
        if event is None and fact.when:
            event = iso_event(fact.date or "", zone)
        if event is None:
            return fact
        content = fact.content
        if self.params.write and not (said and (said.recurrence or _PLAIN.search(said.text))):
            content = _with_date(content, event, mine)
        return replace(fact, content=content, event=_yearly(event, f"{fact.content}\n{around}"))


def _saying(when: str | None, sources: Sequence[Message]) -> Message | None:
    """The last of ``sources`` that says ``when``."""
    if not when:
        return None
    found = [message for message in sources if when.casefold() in message.content.casefold()]
    return last_said(found) if found else None


def _sentence(when: str | None, text: str) -> str:
    """The sentence of ``text`` that says ``when``; nothing when none does."""
    if not when:
        return ""
    return next((s for s in _SENTENCES.split(text) if when.casefold() in s.casefold()), "")


def _read(words: str, said_at: datetime, around: str) -> TimeExpression | None:
    times = find_times(words, reference=said_at, prefer=telling(around or words))
    return next((time for time in times if not _is_now(time, said_at)), None)


def _is_now(time: TimeExpression, said_at: datetime) -> bool:
    """Whether ``time`` is "now" or "at the moment", which says no more than ``said_at`` does."""
    return time.grain is Grain.SECOND and time.interval.contains(said_at)


def _with_date(content: str, event: Event, said: TimeExpression | None) -> str:
    """``content`` with the date in brackets behind the words that say it, else at its end."""
    language = language_of(content)
    date = written(event, language)
    if date in content:
        return content
    brackets = f"（{date}）" if language == "zh" else f" ({date})"
    end = _END.search(content)
    place = end.start() if end is not None else len(content)
    if said is not None and said.interval == event.interval:
        place = said.end
    return content[:place] + brackets + content[place:]


def _yearly(event: Event, text: str) -> Event:
    """``event`` as one that recurs every year, where ``text`` says that it does."""
    start, end = event.interval.start, event.interval.end
    if event.recurrence is not None or event.grain is not Grain.DAY or not start or not end:
        return event
    if _LUNAR.search(text) or not (_YEARLY.search(text) or _YEARLY_ZH.search(text)):
        return event
    return replace(event, recurrence=Recurrence("year", month=start.month, day=start.day))
