"""What a language must bring: the tables that the rest of this package works by.

A further language is one more file with a :class:`Language` in it, and its name in
:mod:`memoryscope_rag.statements.languages`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Pattern = re.Pattern[str]


@dataclass(frozen=True, slots=True)
class SlotRule:
    """A pattern of a predicate and the attribute that it tells.

    ``attribute`` may name groups of the pattern ("favourite {what}"). ``value`` is the group that
    holds the value. ``constant`` is the value where the words themselves are one ("vegan").
    """

    attribute: str
    pattern: Pattern
    constant: str | None = None
    negative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """Tables of one language.

    *Selection*: ``fillers`` open a sentence and say nothing; ``dismissed`` are patterns of what
    nobody keeps, by reason; ``first_person`` finds the speaker; ``merits`` are patterns of what is
    worth keeping, with points; ``generic`` are words that make a statement no more specific;
    ``needs_context`` finds a start that points back.

    *Fiction*: ``fiction`` is a sentence about something invented; ``opens_play`` begins a story
    or a game that goes on over turns, ``opens_story`` one that ends with the turn or speaks of
    invented people; ``closes`` ends either; ``invented`` is the start of a sentence about somebody
    in it. ``joke`` takes back the sentence before.

    *Slots*: ``person`` reads whom a clause is about; ``own`` are patterns of whole clauses,
    ``predicates`` of what follows the person; ``attribute_names`` are the attributes' names for
    readers of this language.

    *Comparison*: ``units`` are the content words (or characters) of a text; ``negation``,
    ``dislike``, ``ended``, ``change``, ``past``, ``cancelled``, ``scheduled`` and ``habitual``
    mark clauses; ``light`` are verbs that may differ when the same thing is denied. ``pronouns``
    are those of one person, each with the relations that it can mean.
    """

    name: str
    script: Pattern

    fillers: Pattern
    dismissed: tuple[tuple[str, Pattern], ...]
    hypothetical: Pattern
    first_person: Pattern
    merits: tuple[tuple[str, Pattern, int], ...]
    asked_to_keep: Pattern
    generic: frozenset[str]
    words: Callable[[str], list[str]]
    needs_context: Pattern
    trailing_question: Pattern
    specific: int

    fiction: Pattern
    opens_play: Pattern
    opens_story: Pattern
    closes: Pattern
    invented: Pattern
    joke: Pattern

    clause: Pattern
    person: Pattern
    relations: Mapping[str, str]
    own: tuple[SlotRule, ...]
    predicates: tuple[SlotRule, ...]
    value_end: Pattern
    attribute_names: Mapping[str, str] = field(default_factory=dict)

    units: Callable[[str], tuple[str, ...]]
    negation: Pattern
    dislike: Pattern
    ended: Pattern
    change: Pattern
    past: Pattern
    cancelled: Pattern
    scheduled: Pattern
    habitual: Pattern
    light: frozenset[str]
    pronouns: Mapping[str, frozenset[str]] = field(default_factory=dict)
