"""query_clues: clues as further queries, each once, and the times that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest

from pydantic import Field

from memoryscope_rag import lexical
from memoryscope_rag.ports import Query
from memoryscope_rag.schema import Clue, Grain, Interval, Message
from memoryscope_rag.temporal import find_times, reading
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.embedding import embed_queries
from memoryscope_rag.workers.frontend.state import Lead, RetrievalState


class QueryClues(Worker[RetrievalState]):
    """Merges clues that say nearly the same, embeds the others and reads their dates.

    A clue that says nearly what the query says goes, too. A relative date, such as "last Friday",
    is seen from the day of the turn that the clue leans on, else from now.
    """

    name = "query_clues"
    reads = frozenset({"scope", "text", "now", "deadline", "queries"})
    uses = frozenset({"clues", "leads", "dense_failure"})
    gives = frozenset({"clues", "leads", "dense_failure"})

    class Params(NoParams):
        """``most`` clues are searched by. ``terms``: the share of words, of both, and ``cosine``,
        from which two say nearly the same.
        """

        most: int = Field(12, ge=0, le=100)
        terms: float = Field(0.8, gt=0, le=1)
        cosine: float = Field(0.9, gt=0, le=1)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``leads``, after those that are there, and no ``clues`` any more."""
        clues = list(by_turns(state.clues))[: self.params.most]
        if not clues:
            return replace(state, clues=())
        texts = [clue.text for clue in clues]
        vectors, failure = await embed_queries(self.services.embedder, texts, state.deadline)
        references = await self._references(state, clues)
        leads = list(state.leads)
        for clue, vector in zip(clues, vectors, strict=True):
            query = Query("", tuple(lexical.analyze(clue.text)), vector)
            same = self._same(query, [lead.query for lead in leads])
            if same is not None:
                leads[same] = merged(leads[same], clue)
            elif query.terms and self._same(query, state.queries) is None:
                times = clue_times(clue, references, state.now)
                leads.append(Lead(clue, query, times))
        return replace(
            state,
            clues=(),
            leads=numbered(leads),
            dense_failure=state.dense_failure or failure,
        )

    def _same(self, query: Query, others: Sequence[Query]) -> int | None:
        """The place of the first of ``others`` that is nearly ``query``."""
        mine = frozenset(query.terms)
        for place, other in enumerate(others):
            theirs = frozenset(other.terms)
            if mine and len(mine & theirs) >= self.params.terms * len(mine | theirs):
                return place
            if query.vector is None or other.vector is None:
                continue
            if float(query.vector @ other.vector) >= self.params.cosine:
                return place
        return None

    async def _references(
        self, state: RetrievalState, clues: Sequence[Clue]
    ) -> Mapping[str, Message]:
        """By id the messages that clues with a time in them lean on."""
        wanted = {
            name: None
            for clue in clues
            if clue.provenance and find_times(clue.text, reference=state.now)
            for name in clue.provenance
        }
        if not wanted:
            return {}
        found = await self.services.store.get_messages(state.scope, list(wanted))
        return {message.id: message for message in found}


def by_turns(clues: Sequence[Clue]) -> Iterator[Clue]:
    """The first clue of each kind, then the second of each, so that no kind crowds out another."""
    kinds: dict[str, list[Clue]] = {}
    for clue in clues:
        kinds.setdefault(clue.kind, []).append(clue)
    for row in zip_longest(*kinds.values()):
        yield from (clue for clue in row if clue is not None)


def merged(lead: Lead, clue: Clue) -> Lead:
    """``lead``, which leans on what ``clue`` leans on, too."""
    provenance = tuple(dict.fromkeys((*lead.clue.provenance, *clue.provenance)))
    blocks = tuple(dict.fromkeys((*lead.clue.blocks, *clue.blocks)))
    weight = max(lead.clue.weight, clue.weight)
    both = replace(lead.clue, provenance=provenance, blocks=blocks, weight=weight)
    return replace(lead, clue=both)


def numbered(leads: Iterable[Lead]) -> tuple[Lead, ...]:
    """``leads`` whose queries are named ``clue 1`` and so on, those of that name as they are."""
    return tuple(
        lead if lead.query.name == name else replace(lead, query=replace(lead.query, name=name))
        for lead, name in ((lead, f"clue {n}") for n, lead in enumerate(leads, 1))
    )


def clue_times(clue: Clue, messages: Mapping[str, Message], now: datetime) -> tuple[Interval, ...]:
    """The times that a clue names, each seen from the turn that says so, from another that the
    clue leans on, or from ``now``. A mere moment is none, as in the query.
    """
    sources = [messages[name] for name in clue.provenance if name in messages]
    found = []
    for named in find_times(clue.text, reference=now, prefer=reading(clue.text)):
        words = named.text.casefold()
        saying = [message for message in sources if words in message.content.casefold()]
        if source := next(iter((*saying, *sources)), None):
            seen = find_times(
                clue.text,
                reference=source.created_at.astimezone(now.tzinfo),
                prefer=reading(clue.text),
            )
            named = next((time for time in seen if time.start == named.start), named)
        if named.grain is not Grain.SECOND:
            found.append(named.interval)
    return tuple(found)
