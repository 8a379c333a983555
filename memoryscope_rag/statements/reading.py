"""Turns of a session as statements: each verbatim, joined to what it needs to be understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memoryscope_rag.statements.frames import Framed, framed
from memoryscope_rag.statements.language import Language
from memoryscope_rag.statements.people import Person, last_person, people_in, resolved
from memoryscope_rag.statements.selection import KEEP, Appraisal, appraise
from memoryscope_rag.statements.slots import Slot, slots_of

MOST_JOINED = 3
"""Sentences that make up one statement at most."""
_NO_CONTEXT = frozenset(
    {
        "question",
        "greeting",
        "thanks",
        "agreement",
        "to the other",
        "filler",
        "fiction",
        "hypothetical",
        "code",
        "empty",
        "request",
    }
)
"""Reasons for which a sentence was left out that also keep it from explaining the next one."""
_EMPTY = frozenset({"nothing said", "vague"})


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody said; ``speaker`` tells whether two turns are the same person's."""

    text: str
    speaker: str


@dataclass(frozen=True, slots=True)
class Statement:
    """``text`` is ``turn[start:end]``, unless a leading "she" was replaced by whom it means."""

    text: str
    start: int
    end: int
    score: int
    reason: str
    language: Language
    slots: tuple[Slot, ...] = ()
    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """What one turn says. ``score`` is that of its best sentence, 0 for none."""

    statements: tuple[Statement, ...]
    score: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence with its appraisal, as part of the turn."""

    framed: Framed
    appraisal: Appraisal

    @property
    def start(self) -> int:
        return self.framed.sentence.start + self.appraisal.start

    @property
    def end(self) -> int:
        return self.framed.sentence.start + self.appraisal.end

    @property
    def explains(self) -> bool:
        """Whether a sentence that points back can be joined to this one."""
        return (
            self.appraisal.reason not in _NO_CONTEXT
            and not self.appraisal.needs_context
            and not self.framed.sentence.bracketed
            and self.appraisal.end - self.appraisal.start > 12
        )


def read(turns: Sequence[Turn]) -> tuple[Read, ...]:
    """The statements of each turn; ``turns`` are those of one session, in order."""
    known: list[Person] = []
    result = []
    for turn, found in zip(turns, framed([turn.text for turn in turns]), strict=True):
        pieces = [
            _Piece(
                part,
                Appraisal(0, "aside", 0, len(part.sentence.text))
                if part.sentence.bracketed
                else appraise(part.sentence.text, fiction=part.fiction, language=part.language),
            )
            for part in found
        ]
        statements = _statements(turn, pieces, known)
        for part in found:
            if not part.fiction:
                known += people_in(part.sentence.text, turn.speaker, part.language)
        best = max((piece.appraisal.score for piece in pieces), default=0)
        if statements:
            best = max(best, *(statement.score for statement in statements))
        elif best >= KEEP:
            best = KEEP - 1
        result.append(Read(tuple(statements), best))
    return tuple(result)


def _statements(turn: Turn, pieces: Sequence[_Piece], known: Sequence[Person]) -> list[Statement]:
    found: list[tuple[int, int, Statement]] = []  # first and last sentence, what they say
    for index, piece in enumerate(pieces):
        appraisal = piece.appraisal
        if piece.framed.language.joke.search(piece.framed.sentence.text):
            if found and found[-1][1] >= index - 1:
                found.pop()
        elif appraisal.reason in _NO_CONTEXT:
            continue
        elif not appraisal.needs_context:
            if appraisal.score >= KEEP:
                found.append((index, index, _plain(turn, piece)))
        elif found and found[-1][1] == index - 1 and index - found[-1][0] < MOST_JOINED:
            if appraisal.score >= KEEP or (appraisal.score and appraisal.reason not in _EMPTY):
                first, _, before = found.pop()
                found.append((first, index, _joined(turn, before.start, piece, before)))
        elif rewritten := _resolve(turn, piece, known, pieces[:index]):
            found.append((index, index, rewritten))
        elif appraisal.score < KEEP or not appraisal.personal:
            continue
        elif index and pieces[index - 1].explains:
            start = pieces[index - 1].start
            found.append((index - 1, index, _joined(turn, start, piece)))
        elif any(slot.who.speaker for slot in appraisal.slots) and (
            piece.framed.language.first_person.match(turn.text, piece.start)
        ):
            found.append((index, index, _plain(turn, piece)))
    return [statement for _, _, statement in found]


def _plain(turn: Turn, piece: _Piece) -> Statement:
    text = turn.text[piece.start : piece.end]
    appraisal = piece.appraisal
    return Statement(
        text,
        piece.start,
        piece.end,
        appraisal.score,
        appraisal.reason,
        piece.framed.language,
        appraisal.slots,
    )


def _joined(turn: Turn, start: int, piece: _Piece, before: Statement | None = None) -> Statement:
    """The text from ``start`` to the end of ``piece`` as one statement."""
    language = piece.framed.language
    text = turn.text[start : piece.end]
    score = piece.appraisal.score if before is None else max(before.score, piece.appraisal.score)
    reason = piece.appraisal.reason if before is None else before.reason
    return Statement(text, start, piece.end, score, reason, language, slots_of(text, language))


def _resolve(
    turn: Turn, piece: _Piece, known: Sequence[Person], before: Sequence[_Piece]
) -> Statement | None:
    """The sentence with the last person who can be meant in place of its "she" or "he"."""
    language = piece.framed.language
    here = [
        person
        for other in before
        if not other.framed.fiction
        for person in people_in(other.framed.sentence.text, turn.speaker, other.framed.language)
    ]
    text = turn.text[piece.start : piece.end]
    meant = last_person(text, [*known, *here], turn.speaker, language)
    if meant is None:
        return None
    text = resolved(text, meant, language)
    appraisal = appraise(text, language=language)
    if appraisal.score < KEEP:
        return None
    return Statement(
        text,
        piece.start,
        piece.end,
        appraisal.score,
        appraisal.reason,
        language,
        appraisal.slots,
        rewritten=True,
    )
