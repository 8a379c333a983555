"""The values of a JSON file one by one, so that an export larger than memory can be read."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from memoryscope_rag.formats import Problem

CHUNK = 1 << 16
"""Bytes read at once, at least."""


def values(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON list, or values that follow one another, such as one a line.

    With the line that each begins on, from 1; what cannot be read is a Problem. Bytes that are no
    UTF-8 become lone surrogates, which no text of ours may hold, so they are noticed later on.
    """
    yield from _Reader(stream).values()


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._text, self._at, self._line = "", 0, 1
        self._ended = False

    def values(self) -> Iterator[tuple[int, Any]]:
        listed = self._next(" \t\r\n") == "["
        self._at += listed
        while first := self._next(" \t\r\n," if listed else " \t\r\n"):
            if listed and first == "]":
                return
            begins = self._line
            try:
                value = self._value()
            except (json.JSONDecodeError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else "nests too deep"
                rest = "; the rest of the list is not read" if listed else ""
                yield begins, Problem(f"not valid JSON: {reason}{rest}")
                if listed:
                    return
                self._skip_line()
            else:
                yield begins, value
        if listed:
            yield self._line, Problem("the list has no end")

    def _next(self, blanks: str) -> str:
        """The first character that is no blank, which is not passed over; empty at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in blanks:
                    return character
                self._line += character == "\n"
                self._at += 1
            if not self._more():
                return ""

    def _value(self) -> Any:
        """The value that begins here. Raises JSONDecodeError, RecursionError."""
        decoder = json.JSONDecoder()
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
            else:
                break
        self._line += self._text.count("\n", self._at, end)
        self._at = end
        return value

    def _skip_line(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def _more(self) -> bool:
        """Read as much again as is waiting, so that a long value is tried a few times only."""
        if self._ended:
            return False
        waiting = self._text[self._at :]
        data = self._stream.read(max(CHUNK, len(waiting)))
        self._ended = not data
        self._text, self._at = waiting + self._decode(data, self._ended), 0
        return True
