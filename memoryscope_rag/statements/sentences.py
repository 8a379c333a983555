"""A text as its sentences, each with its place, so that a statement can be taken verbatim."""

from __future__ import annotations

import re
from dataclasses import dataclass

_END = re.compile(
    r"[.!?…]+[\"'”’)\]*]*(?=\s|$|[\u3400-\u9fff])"  # a dot inside "3.5" or "a.m" ends nothing
    r"|[。！？；]+[”’」』）)]*"
    r"|[^\S\n]+(?=\[)|(?<=\])(?=\s)"  # a stage direction in brackets stands for itself
    r"|\s[-–—]\s(?=(?:I|I'm|I've|we|my)\b)"
    r"|\n+"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|no|approx|e\.g|i\.e|a\.m|p\.m|u\.s|u\.k)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_LOWER = re.compile(r"\s*[a-z]")
_BRACKETS = re.compile(r"\s*\[[^\]]*\]\s*$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text`` is ``source[start:end]``, without space around it."""

    text: str
    start: int
    end: int

    @property
    def bracketed(self) -> bool:
        """Whether it is nothing but a remark in square brackets ("[laughs]")."""
        return _BRACKETS.fullmatch(self.text) is not None


def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences of an English or Chinese text, in order; nothing but space is left out.

    Line ends end a sentence, too; abbreviations and initials do not.
    """
    found: list[Sentence] = []
    start = 0
    for match in _END.finditer(text):
        end = match.end()
        if match[0].startswith(".") and _continues(text, match.start(), end):
            continue
        _append(found, text, start, end)
        start = end
    _append(found, text, start, len(text))
    return tuple(found)


def _continues(text: str, dot: int, end: int) -> bool:
    """Whether the dot belongs to an abbreviation, or the text goes on in lower case after it."""
    if _ABBREVIATION.search(text, max(0, dot - 8), dot + 1):
        return end < len(text)
    return _LOWER.match(text, end) is not None and "\n" not in text[end : end + 2]


def _append(found: list[Sentence], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    stripped = piece.strip()
    if stripped:
        found.append(Sentence(stripped, start + left, start + left + len(stripped)))
