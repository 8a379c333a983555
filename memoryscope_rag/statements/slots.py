"""Whom a statement is about, which attribute it tells, and the value, as far as patterns go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from memoryscope_rag.statements.language import Language, SlotRule
from memoryscope_rag.statements.languages import language_of

SINGLE = frozenset(
    {
        "employer",
        "home",
        "age",
        "birthday",
        "marital status",
        "partner",
        "name",
        "phone",
        "email",
        "diet",
        "hometown",
    }
)
"""Attributes that hold one value at a time, with every "favourite …"; of others many hold."""

CALLED_OFF = frozenset({"trip", "plan"})
"""Attributes that a clause denies which says that it will not be."""

POINTERS = frozenset(
    {
        *("it", "them", "this", "that", "these", "those", "him", "her", "one", "some", "there"),
        *("here", "something", "anything", "everything", "all of it", "all of them"),
        *("它", "它们", "他", "她", "他们", "她们", "这", "那", "这个", "那个", "这些", "那些"),
        *("这里", "那里", "这儿", "那儿"),
    }
)
"""Words that stand for a value told before; by themselves they are none."""

_ALIASES = {
    "movie": "film",
    "movies": "film",
    "color": "colour",
    "food": "food",
    "电话": "phone",
    "电话号": "phone",
    "手机号": "phone",
    "电话号码": "phone",
    "手机号码": "phone",
}
_SPACE = re.compile(r"\s+")
SHORT = 2
"""Words of a clause at least."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a clause is about. All empty: nobody that could be told. ``relation`` is in the
    speaker's eyes ("sister"), in one word for each of its forms.
    """

    speaker: bool = False
    relation: str | None = None
    name: str | None = None

    def may_be(self, other: Who) -> bool:
        """Whether both can be the same person: nothing that is known of one differs."""
        if self.speaker or other.speaker:
            return self.speaker == other.speaker
        if self.name and other.name:
            return self.name.casefold() == other.name.casefold()
        if self.relation and other.relation:
            return self.relation == other.relation
        return not (self.name or self.relation) and not (other.name or other.relation)

    @property
    def label(self) -> str | None:
        """The name, or else the relation; ``None`` for the speaker."""
        return self.name or self.relation


@dataclass(frozen=True, slots=True)
class Slot:
    """One attribute of somebody, with its value as it was said, if a pattern found one."""

    who: Who
    attribute: str
    value: str | None = None
    negative: bool = False

    @property
    def denied(self) -> bool:
        """Whether the value is said not to hold; what somebody dislikes they do dislike."""
        return self.negative and self.attribute != "dislikes"

    @property
    def single(self) -> bool:
        """Whether a later value takes the place of this one."""
        return self.attribute in SINGLE or self.attribute.startswith("favourite ")


def slots_of(text: str, language: Language | None = None) -> tuple[Slot, ...]:
    """What the clauses of ``text`` tell, in order; one attribute once."""
    language = language or language_of(text)
    flat = _SPACE.sub(" ", text).strip()
    found: dict[tuple[str, Who], Slot] = {}
    before = Who()
    for clause in clauses(flat, language):
        person = language.person.search(clause)
        # "I changed jobs and work at Siemens now": who goes without saying is who was said last
        before = before if person is None else _who(person, language)
        for slot in _of_clause(clause, person, before, language):
            found.setdefault((slot.attribute, slot.who), slot)
    return tuple(found.values())


def clauses(text: str, language: Language) -> tuple[str, ...]:
    """The parts of ``text`` that have a subject of their own, as far as signs and words show."""
    parts: list[str] = []
    start = 0
    for match in language.clause.finditer(text):
        part = text[start : match.start()].strip()
        if len(language.words(part)) >= SHORT:  # "Tom and I" is one subject
            parts.append(part)
            start = match.end()
    return (*parts, rest) if (rest := text[start:].strip()) else tuple(parts)


def who_of(text: str, language: Language | None = None) -> Who:
    """Whom ``text`` is about first."""
    language = language or language_of(text)
    match = language.person.search(_SPACE.sub(" ", text))
    return Who() if match is None else _who(match, language)


def _who(match: re.Match[str], language: Language) -> Who:
    if match["speaker"]:
        return Who(speaker=True)
    if match["relation"]:
        return Who(
            relation=language.relations[match["relation"].casefold()], name=match["called"] or None
        )
    return Who(name=match["name"])


def _of_clause(
    clause: str, person: re.Match[str] | None, who: Who, language: Language
) -> Iterator[Slot]:
    for rule in language.own:
        if match := rule.pattern.search(clause):
            yield _slot(rule, match, Who(speaker=True), language)
            return
    if who == Who():
        return
    # predicates begin with the space behind the person, in a language that has any
    called_off = language.cancelled.search(clause)
    text, start = (clause, person.end()) if person else (f" {clause}", 0)
    for rule in language.predicates:
        match = rule.pattern.match(text, start) or rule.pattern.match(text.lstrip(), start)
        if match is not None and match[0].strip():
            slot = _slot(rule, match, who, language)
            off = called_off is not None and rule.attribute in CALLED_OFF
            yield replace(slot, negative=slot.negative or off)
            break
    if person and who.relation and who.name:
        yield Slot(who, "name", who.name)


def _slot(rule: SlotRule, match: re.Match[str], who: Who, language: Language) -> Slot:
    groups = {name: text.strip() for name, text in match.groupdict().items() if text}
    value = rule.constant or groups.get("value")
    if value is not None and rule.constant is None:
        value = language.value_end.sub("", value).strip(" ,.;，。") or None
        if value is not None and value.casefold() in POINTERS:
            value = None
    attribute = rule.attribute
    if "{what}" in attribute:
        what = groups.get("what", "").casefold()
        attribute = attribute.replace("{what}", _ALIASES.get(what, what))
    words = match[0].replace(groups.get("value", "\0"), "")  # a name may look like a "not"
    negative = rule.negative or language.negation.search(words) is not None
    return Slot(who, attribute, value, negative)
