"""From tokens to text that may be shown: whole characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"


class TokenText:
    """Reads tokens as they come. A character whose bytes are not all there waits for them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._shown = 0
        """How many tokens are in the text given so far."""

    def feed(self, token: int) -> str:
        """The text that ``token`` completes, possibly none."""
        self._tokens.append(token)
        # Read together with the tokens before: some tokenizers drop a blank at the beginning.
        old = self._read(self._tokens[: self._shown])
        new = self._read(self._tokens)
        if new.endswith(_BROKEN) or len(new) <= len(old):
            return ""
        self._tokens = self._tokens[self._shown :]
        self._shown = len(self._tokens)
        return new[len(old) :]

    def _read(self, tokens: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


class StopStrings:
    """Lets text through up to the first of the stop strings.

    Text that could be the beginning of one waits until it is not.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def feed(self, piece: str) -> str:
        """What of the text up to ``piece`` may be shown and was not yet."""
        if self.found:
            return ""
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.found = True
            self._held = ""
            return text[: min(places)]
        wait = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - wait :]
        return text[: len(text) - wait]

    def finish(self) -> str:
        """What waited in vain."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` are the beginning of ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
