"""Which sentences a person would keep of a chat, and why the others are left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memoryscope_rag.statements.language import Language
from memoryscope_rag.statements.languages import language_of
from memoryscope_rag.statements.slots import SINGLE, Slot, slots_of
from memoryscope_rag.temporal import is_question

KEEP = 2
"""Score from which a sentence is a statement worth keeping."""
WEAK = frozenset({"likes", "dislikes", "plan", "owns", "hobby", "job", "workplace"})
"""Attributes whose patterns also match small talk: they need something specific beside them."""

_SPACE = re.compile(r"\s+")
_CODE = re.compile(
    r"^(?:[{}<>|#/*=]|import |def |class |function |const |let |var |SELECT )|[;{}]$|=>|</"
)


@dataclass(frozen=True, slots=True)
class Appraisal:
    """``score`` 0 to 3 as in :class:`~memoryscope_rag.workers.backend.state.Fact`.

    ``reason`` names what decided ("question", "fiction", "event" …). ``start`` and ``end`` say
    which part of the sentence stands without its fillers. ``needs_context`` tells that it points
    back to what was said before it, ``personal`` that it names the speaker or somebody else.
    """

    score: int
    reason: str
    start: int
    end: int
    needs_context: bool = False
    personal: bool = True
    slots: tuple[Slot, ...] = ()


def appraise(text: str, *, fiction: bool = False, language: Language | None = None) -> Appraisal:
    """What one sentence is worth."""
    language = language or language_of(text)
    start, end = _core(text, language)
    core = _SPACE.sub(" ", text[start:end])
    reason = _dismissed(core, language)
    if reason is not None:
        return Appraisal(0, reason, start, end)
    if fiction:
        return Appraisal(1, "fiction", start, end)
    if language.hypothetical.search(core):
        return Appraisal(1, "hypothetical", start, end)
    slots = slots_of(core, language)
    score, reason = _worth(core, slots, language)
    back = language.needs_context.search(core) is not None
    personal = any(slot.who.label for slot in slots) or (
        language.first_person.search(core) is not None
    )
    return Appraisal(score, reason, start, end, back, personal, slots)


def _core(text: str, language: Language) -> tuple[int, int]:
    """The sentence without fillers at its start and a question hung on to its end."""
    start, end = 0, len(text)
    while end > start and text[end - 1] in " -–—":
        end -= 1
    while match := language.fillers.match(text[start:end]):
        if match.end() == 0:
            break
        start += match.end()
    tail = language.trailing_question.search(text, start)
    # "I moved to Rome, what about you?" states something all the same
    if tail and tail.start() > start + 8 and not is_question(text[start : tail.start()] + "."):
        end = tail.start()
    return start, end


def _dismissed(core: str, language: Language) -> str | None:
    if not language.words(core):
        return "empty"
    if _CODE.search(core):
        return "code"
    if is_question(core):
        return "question"
    if language.asked_to_keep.search(core):
        return None
    return next((name for name, pattern in language.dismissed if pattern.search(core)), None)


def _worth(core: str, slots: tuple[Slot, ...], language: Language) -> tuple[int, str]:
    """Score and reason of a sentence that nothing speaks against."""
    if language.asked_to_keep.search(core):
        return 3, "asked to keep"
    third = any(slot.who.label for slot in slots)
    if (
        not third
        and not language.first_person.search(core)
        and not (language.needs_context.search(core))
    ):
        return 0, "impersonal"
    strong = [slot for slot in slots if slot.attribute not in WEAK]
    if any(_identity(slot) for slot in strong):
        return 3, strong[0].attribute
    merits = [(name, points) for name, pattern, points in language.merits if pattern.search(core)]
    points = sum(points for _, points in merits)
    specific = len({word for word in language.words(core) if word not in language.generic})
    if slots:
        points += 2 if strong else 1
        merits.append((slots[0].attribute, 2))
    if not merits:
        return (1 if specific >= language.specific else 0), "nothing said"
    if specific >= 2 * language.specific:
        points += 1
    reason = max(merits, key=lambda merit: merit[1])[0]
    if specific < language.specific and not strong:
        return 1, "vague"
    return (2 if points >= KEEP else 1), reason


def _identity(slot: Slot) -> bool:
    return slot.value is not None and (
        slot.attribute in SINGLE or slot.attribute in ("allergy", "favourite")
    )
