"""Long documents of our own making, with questions whose evidence is known to the character.

A document is the chronicle of a town, in English or Chinese: small talk in which the facts that
are asked about are buried, and others of the same kind about other people. The same seed gives the
same document. What a question needs:

- ``scattered``: two sentences, the second of which does not name whom the question names;
- ``aggregated``: three sentences from all over the document, one a name;
- ``contradicted``: a statement, and the later one that takes it back;
- ``ordered``: two events, to be put in order by their years.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.errors import InvalidInput, suggest
from memoryscope_rag.lexical import estimate_tokens

DocumentKind = Literal["scattered", "aggregated", "contradicted", "ordered"]
DOCUMENT_KINDS: Final[tuple[DocumentKind, ...]] = get_args(DocumentKind)
LANGUAGES: Final = ("en", "zh")
SHORTEST = 1_000
"""Tokens of a document at least."""
_SENTENCES = (4, 7)
"""Of a paragraph."""
_PARAGRAPHS = 12
"""Of a chapter."""
_YEARS = range(1801, 1899)
_DISTRACTORS = 2
"""Facts of each kind that nobody asks about, for one that is asked."""


@dataclass(frozen=True, slots=True)
class DocumentQuestion:
    """A question; what answers it stands at ``evidence`` (character spans, in their order)."""

    text: str
    kind: str
    answer: str
    evidence: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LongDocument:
    """A text with questions."""

    id: str
    language: str
    text: str
    questions: tuple[DocumentQuestion, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question whose ``facts`` have no place yet."""

    text: str
    kind: DocumentKind
    answer: str
    facts: tuple[str, ...]


def long_document(
    tokens: int, language: str = "en", *, seed: int = 0, questions: int = 12
) -> LongDocument:
    """A document of about ``tokens`` tokens (within 15 %), with so many questions.

    Args:
        questions: of all kinds in turn.

    Raises:
        InvalidInput: no such language, a number below its least, or more questions than there are
            names.
    """
    if language not in LANGUAGES:
        raise InvalidInput("language", f"{language!r} is unknown; {suggest(language, LANGUAGES)}")
    if tokens < SHORTEST:
        raise InvalidInput("tokens", f"is {tokens}, must be at least {SHORTEST}")
    if questions < 1:
        raise InvalidInput("questions", f"is {questions}, must be at least 1")
    draw = random.Random(f"{language} {seed} {tokens} {questions}")
    town = _Town(draw, _words()[language])
    asked = [town.ask(DOCUMENT_KINDS[n % len(DOCUMENT_KINDS)]) for n in range(questions)]
    buried = [one.facts for one in asked]
    buried += [
        town.ask(one.kind).facts for one in asked for _ in range(_DISTRACTORS) if town.has_more
    ]
    text, places = _written(town, draw, tokens, buried)
    return LongDocument(
        f"{language}-{tokens}-{seed}",
        language,
        text,
        tuple(
            DocumentQuestion(one.text, one.kind, one.answer, tuple(sorted(spans)))
            for one, spans in zip(asked, places, strict=False)
        ),
    )


def write_documents(path: Path, documents: Sequence[LongDocument]) -> None:
    """One JSON object a line."""
    lines = (json.dumps(asdict(document), ensure_ascii=False) + "\n" for document in documents)
    path.write_text("".join(lines), "utf-8", newline="\n")


def read_documents(path: Path) -> list[LongDocument]:
    """What :func:`write_documents` wrote, or documents of your own in that form.

    Raises:
        InvalidInput: a line is no such document, or a span lies outside its text.
    """
    reader = TypeAdapter(LongDocument)
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            document = reader.validate_json(line)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
            raise InvalidInput("data", f"{path}, line {number}: {fields or 'no JSON'}") from None
        for question in document.questions:
            if not question.evidence or not all(
                0 <= start < end <= len(document.text) for start, end in question.evidence
            ):
                raise InvalidInput("data", f"{path}, line {number}: a question's evidence")
        found.append(document)
    if not found:
        raise InvalidInput("data", f"{path} holds no document")
    return found


class _Town:
    """Draws names that are used once, and sentences."""

    def __init__(self, draw: random.Random, words: Mapping[str, Any]) -> None:
        self._draw = draw
        self.words = words
        names = [
            words["name"].format(given=given, family=family)
            for given in words["given"]
            for family in words["family"]
        ]
        draw.shuffle(names)
        self._passers_by = names[: len(names) // 3]
        self._names = names[len(names) // 3 :]
        self._works = [(street, thing) for street in words["street"] for thing in words["thing"]]
        draw.shuffle(self._works)

    @property
    def has_more(self) -> bool:
        """Whether something can be told of another person."""
        return len(self._names) > 4 and bool(self._works)

    def filler(self) -> str:
        """A sentence that nobody asks about."""
        return self._said(self._draw.choice(self.words["filler"]))

    def ask(self, kind: DocumentKind) -> _Asked:
        """Facts about somebody who was not told of before, and the question that needs them."""
        if not self.has_more:
            raise InvalidInput("questions", "are more than there are names")
        makers: Mapping[DocumentKind, Callable[[Mapping[str, Any], str], _Asked]] = {
            "scattered": self._scattered,
            "aggregated": self._aggregated,
            "contradicted": self._contradicted,
            "ordered": self._ordered,
        }
        return makers[kind](self.words[kind], self._names.pop())

    def _scattered(self, words: Mapping[str, Any], who: str) -> _Asked:
        street, thing = self._works.pop()  # once, for each has one maker
        slots = {"who": who, "street": street, "thing": thing, "other": self._names.pop()}
        facts = tuple(self._said(self._draw.choice(some), **slots) for some in words["facts"])
        return self._question("scattered", words["answer"].format(**slots), facts, slots)

    def _aggregated(self, words: Mapping[str, Any], who: str) -> _Asked:
        others = [self._names.pop() for _ in range(3)]
        shapes = self._draw.sample(words["facts"], 3)
        facts = tuple(
            self._said(shape, who=who, other=other)
            for shape, other in zip(shapes, others, strict=True)
        )
        return self._question("aggregated", self.words["list"].join(others), facts, {"who": who})

    def _contradicted(self, words: Mapping[str, Any], who: str) -> _Asked:
        before, after = self._draw.sample(self.words["trade"], 2)
        facts = tuple(
            self._said(self._draw.choice(some), who=who, trade=trade)
            for some, trade in zip(words["facts"], (before, after), strict=True)
        )
        return self._question(
            "contradicted", words["answer"].format(trade=after), facts, {"who": who}
        )

    def _ordered(self, words: Mapping[str, Any], who: str) -> _Asked:
        places = self._draw.sample(self.words["place"], 2)
        years = sorted(self._draw.sample(_YEARS, 2))
        facts = tuple(
            self._said(shape, who=who, place=place, year=year)
            for shape, place, year in zip(
                self._draw.sample(words["facts"], 2), places, years, strict=True
            )
        )
        named = self._draw.sample(places, 2)
        slots = {"who": who, "place": named[0], "other_place": named[1]}
        return self._question("ordered", words["answer"].format(place=places[0]), facts, slots)

    def _question(
        self, kind: DocumentKind, answer: str, facts: tuple[str, ...], slots: Mapping[str, str]
    ) -> _Asked:
        shape = self._draw.choice(self.words[kind]["question"])
        return _Asked(shape.format(**slots), kind, answer, facts)

    def _said(self, shape: str, **slots: Any) -> str:
        usual = {
            name: self._draw.choice(self.words[name])
            for name in ("place", "street", "trade", "animal", "month")
        }
        usual |= {"other": self._draw.choice(self._passers_by), "n": self._draw.randint(3, 90)}
        said = shape.format(**{**usual, **slots})
        return said[0].upper() + said[1:]


def _written(
    town: _Town, draw: random.Random, tokens: int, buried: Sequence[Sequence[str]]
) -> tuple[str, list[list[tuple[int, int]]]]:
    """The text, and where the facts of each of ``buried`` stand. Their order is kept."""
    sentences: list[str] = []
    left = tokens - sum(estimate_tokens(fact) for facts in buried for fact in facts)
    while left > 0:
        sentences.append(town.filler())
        left -= estimate_tokens(sentences[-1])
    count = sum(map(len, buried))
    if count > len(sentences):
        raise InvalidInput("tokens", f"is {tokens}, too few for {count} facts; ask less")
    slots = draw.sample(range(len(sentences)), count)
    facts_at: dict[int, tuple[int, str]] = {}
    for number, facts in enumerate(buried):
        places = sorted(slots.pop() for _ in facts)
        facts_at |= {at: (number, fact) for at, fact in zip(places, facts, strict=True)}
    told: list[list[tuple[int, int]]] = [[] for _ in buried]
    parts: list[str] = []
    length = 0

    def add(part: str) -> int:
        nonlocal length
        parts.append(part)
        length += len(part)
        return length

    separator = town.words["separator"]
    room, paragraphs = 0, 0
    for at, sentence in enumerate(sentences):
        if room == 0:
            if parts:
                add("\n\n")
            if paragraphs % _PARAGRAPHS == 0:
                add(town.words["chapter"].format(n=paragraphs // _PARAGRAPHS + 1) + "\n\n")
            paragraphs += 1
            room = draw.randint(*_SENTENCES)
        else:
            add(separator)
        if at in facts_at:
            number, fact = facts_at[at]
            end = add(fact)
            told[number].append((end - len(fact), end))
            add(separator)
        add(sentence)
        room -= 1
    return "".join(parts), told


@lru_cache(maxsize=1)
def _words() -> Mapping[str, Any]:
    tree: Mapping[str, Any] = yaml.safe_load(packaged_text("evaluation", "long_documents.yaml"))
    return tree
