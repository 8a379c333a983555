"""Topics: keywords that several facts about one person share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from memoryscope_rag import lexical
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.scoring.features import is_unspaced
from memoryscope_rag.workers.backend.facts import plain

MIN_FACTS: Final = 5
"""Facts that a topic may always have, however few there are in all."""
OVERLAP: Final = 0.6
"""Share of its facts in another topic from which a topic adds nothing."""
_WORD = re.compile(r"\w+")
_GENERIC: Final = frozenset(
    lexical.analyze(
        """
        able ago almost already always amazing another anything around ask awesome back bad
        beautiful become began begin believe best better big bit bring brought call came change
        chat come cool couple create day days definitely different easy else end enjoy enough
        even ever every everyone everything excited expect experience explore far favorite
        favourite feel feeling felt few find fine finish first forward found friday fun gave
        give glad good great grow guess hand happen happy hard hear heard help hope hour huge
        idea important incredible interesting join journey keep kind know last lately learn
        least leave left let life little live long look lot love lovely lucky made make many
        maybe mean meet mention minute moment moments monday month months morning move much name
        need never new next nice night nothing number okay old one ones open others part pass
        past people perfect person photo pic picture piece place plan play point pretty proud
        put question ready real realize reason recent recently remember rest right said saturday
        saw say second see seem self sense set share show side small someone something soon sort
        special spend spent start started stay still stop stuff sunday super support sure take
        talk tell thank thanks thing things think though thought three thursday time times today
        together told tomorrow tonight took tough toward tried true try tuesday turn two
        understand use used usual visit wait wanna want wanted watch way wednesday week weekend
        weeks well went whole wish without wonderful word work world worth wow wrong year years
        yesterday yet you
        """
    )
)
"""Words that facts of any topic share."""
_FUNCTION: Final = frozenset(
    "的了我你他她它们是在和有就都也很不没这那一二两三个会要去来到说上下为把被让给对从与及或但而且所以因之其"
    "么什怎哪谁吗呢吧啊还又再只已经曾着过得地些点时候年月日天周号今明昨前后里外中多少几第每次能可想觉起出"
)
"""Characters that make a pair of characters no word of its own."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A keyword as it is mostly written, and the facts that have it, by time."""

    name: str
    facts: tuple[MemoryNode, ...]


def topics_of(facts: Sequence[MemoryNode], who: str, least: int, share: float) -> list[Topic]:
    """The topics of somebody's ``facts``, the largest first.

    Each has at least ``least`` facts of different messages, and no more than the ``share`` of all;
    of topics that mostly have the same facts only the largest is there.
    """
    most = max(MIN_FACTS, least, int(share * len(facts)))
    having: dict[str, list[MemoryNode]] = {}
    name = set(lexical.analyze(who))
    for fact in facts:
        for token in topics_named(fact):
            if not name.issuperset(token.split()):
                having.setdefault(token, []).append(fact)
    wide = [
        (token, own)
        for token, own in having.items()
        if len({fact.provenance or (fact.id,) for fact in own}) >= least and len(own) <= most
    ]
    chosen: list[Topic] = []
    covered: list[set[str]] = []
    for token, own in sorted(wide, key=lambda pair: (-len(pair[1]), pair[0])):
        ids = {fact.id for fact in own}
        if any(len(ids & other) >= OVERLAP * len(ids) for other in covered):
            continue
        covered.append(ids)
        chosen.append(Topic(_spelling(token, own), tuple(own)))
    return chosen


def topics_named(fact: MemoryNode) -> tuple[str, ...]:
    """The keywords of a fact that could be topics, each as its tokens, once."""
    listed = fact.metadata.get("keywords")
    if not isinstance(listed, str):
        return ()
    found: dict[str, None] = {}
    for keyword in listed.split(", "):
        # rules give tokens, which another stemming may change; a model gives words
        tokens = [keyword] if keyword in _tokens(fact) else lexical.analyze(keyword)
        if tokens and not all(_is_generic(token) for token in tokens):
            found[" ".join(tokens)] = None
    return tuple(found)


def has_topic(fact: MemoryNode, topic: str) -> bool:
    """Whether ``topic``, as it is written, is among the topics of ``fact`` in any form."""
    return " ".join(lexical.analyze(topic)) in topics_named(fact)


def _tokens(fact: MemoryNode) -> frozenset[str]:
    return frozenset(lexical.analyze(fact.content))


def _is_generic(token: str) -> bool:
    if is_unspaced(token):
        return not _FUNCTION.isdisjoint(token)
    return token in _GENERIC or len(token) < 3 or token.isdigit()


def _spelling(token: str, facts: Sequence[MemoryNode]) -> str:
    """How ``token`` is mostly written in the facts, else as it is: it may be a mere stem."""
    written: Counter[str] = Counter()
    for fact in facts:
        for word in _WORD.findall(fact.content):
            if lexical.analyze(word) == [token]:
                written[plain(word)] += 1
    if not written:
        return token
    return min(written.items(), key=lambda item: (-item[1], item[0]))[0]
