"""English text as words with their places."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"\d+|[^\W\d_]+|\S")
_SAME = str.maketrans("’‘`–—−～", "'''---~")


@dataclass(frozen=True, slots=True)
class Words:
    """The words, numbers and signs of a text, in lower case, with where each stands.

    ``glued[i]`` tells that no space separates word ``i`` from the one before it. An empty word
    ends the list, so that one may look past its end.
    """

    words: list[str]
    starts: list[int]
    ends: list[int]
    glued: list[bool]
    raw: list[str]

    @classmethod
    def of(cls, text: str) -> Words:
        """Cut ``text`` up."""
        found = list(_WORD.finditer(text))
        ends = [match.end() for match in found]
        starts = [match.start() for match in found]
        return cls(
            [match.group().lower().translate(_SAME) for match in found],
            starts,
            ends,
            [False, *(start == end for start, end in zip(starts[1:], ends, strict=False))],
            [match.group() for match in found],
        )

    def __len__(self) -> int:
        return len(self.words)

    def at(self, index: int) -> str:
        """The word there, or the empty string outside."""
        return self.words[index] if 0 <= index < len(self.words) else ""

    def joined(self, index: int) -> bool:
        """Whether the word there stands without a space after the one before."""
        return 0 < index < len(self.words) and self.glued[index]

    def number(self, index: int, digits: int = 6) -> int | None:
        """The Arabic number there, if it has at most ``digits`` digits."""
        word = self.at(index)
        return int(word) if word.isascii() and word.isdigit() and len(word) <= digits else None

    def capital(self, index: int) -> bool:
        """Whether the word is capitalised and stands inside a sentence."""
        return self.raw[index][:1].isupper() and index > 0 and self.words[index - 1] not in _STOPS

    def follow(self, index: int, phrase: tuple[str, ...]) -> bool:
        """Whether the words of ``phrase`` stand there."""
        return tuple(self.words[index : index + len(phrase)]) == phrase


_STOPS = frozenset([".", "!", "?", ":", ";", '"', "(", ")", "*", "-", "•", ">"])


def phrases(*texts: str) -> dict[str, list[tuple[str, ...]]]:
    """Word sequences by their first word, longest first, for :func:`longest`."""
    table: dict[str, list[tuple[str, ...]]] = {}
    for text in texts:
        words = tuple(Words.of(text).words)
        table.setdefault(words[0], []).append(words)
    for found in table.values():
        found.sort(key=len, reverse=True)
    return table


def longest(
    table: dict[str, list[tuple[str, ...]]], words: Words, index: int
) -> tuple[str, ...] | None:
    """The longest phrase of ``table`` that stands at ``index``."""
    for phrase in table.get(words.at(index), ()):
        if words.follow(index, phrase):
            return phrase
    return None
