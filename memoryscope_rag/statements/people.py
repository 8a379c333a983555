"""Who was last spoken of, and a leading "she" or "he" in the place of whom it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from memoryscope_rag.statements.language import Language
from memoryscope_rag.statements.slots import clauses

REACH = 6
"""So many people back a pronoun can point at most."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was mentioned: as the ``relation`` of ``speaker``, by name, or both."""

    relation: str | None
    name: str | None
    speaker: str


def people_in(text: str, speaker: str, language: Language) -> list[Person]:
    """The people whom the clauses of ``text`` are about, in order, without the speaker."""
    found = []
    for clause in clauses(" ".join(text.split()), language):
        for match in language.person.finditer(clause):
            if not match["speaker"]:
                relation = match["relation"]
                found.append(
                    Person(
                        language.relations[relation.casefold()] if relation else None,
                        match["called"] or match["name"],
                        speaker,
                    )
                )
    return found


def last_person(
    text: str, known: Sequence[Person], speaker: str, language: Language
) -> Person | None:
    """Whom the pronoun at the start of ``text`` means: the last person mentioned, if that one
    can be meant; a wrong guess would be worse than none.
    """
    pronoun = _pronoun(text, language)
    if pronoun is None:
        return None
    fitting = language.pronouns[pronoun]
    others = frozenset().union(*(fit for key, fit in language.pronouns.items() if key != pronoun))
    for person in reversed(known[-REACH:]):
        if person.relation in fitting and (person.name or person.speaker == speaker):
            return person
        if person.relation in others:
            continue
        if person.name:
            return person
        return None
    return None


def resolved(text: str, person: Person, language: Language) -> str:
    """``text`` with its first pronoun replaced by ``person``; nothing else is touched."""
    pronoun = _pronoun(text, language)
    if pronoun is None:
        return text
    head = _head(pronoun, language)
    match = head.match(text)
    assert match is not None  # _pronoun found it
    if person.name:
        who = person.name
    else:
        who = f"我{person.relation}" if language.name == "zh" else f"My {person.relation}"
    return who + text[match.end() :]


def _pronoun(text: str, language: Language) -> str | None:
    return next(
        (pronoun for pronoun in language.pronouns if _head(pronoun, language).match(text)), None
    )


def _head(pronoun: str, language: Language) -> re.Pattern[str]:
    if language.name == "zh":
        return re.compile(rf"{pronoun}(?!们)")
    return re.compile(rf"{pronoun}(?=['’\s])", re.IGNORECASE)
