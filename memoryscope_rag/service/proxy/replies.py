"""What was said in an answer, read on the side while its bytes pass. No I/O.

Of several choices the first is read. What cannot be read says nothing: the answer is the client's
in any case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from memoryscope_rag.service.proxy.requests import text_of

_LINE = re.compile(rb"\r\n|\n|\r")


class Heard(Protocol):
    """One answer that arrives in pieces."""

    @property
    def text(self) -> str:
        """The words so far."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the model has come to its end."""
        ...

    def event(self, data: Any) -> None:
        """Take in one event of a stream."""
        ...

    def body(self, data: Any) -> None:
        """Take in an answer that came at once."""
        ...


class ChatHeard:
    """An answer of ``/chat/completions``."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.whole = False

    @property
    def text(self) -> str:
        """The words so far; a refusal is one."""
        return "".join(self._parts)

    def event(self, data: Any) -> None:
        """Take in one chunk."""
        self._take(data, "delta")

    def body(self, data: Any) -> None:
        """Take in a whole completion."""
        self._take(data, "message")
        self.whole = True

    def _take(self, data: Any, name: str) -> None:
        for choice in _list(data, "choices"):
            if isinstance(choice, Mapping) and choice.get("index", 0) == 0:
                message = choice.get(name)
                if isinstance(message, Mapping):
                    text = text_of(message.get("content")) or text_of(message.get("refusal"))
                    self._parts.append(text)
                self.whole = self.whole or bool(choice.get("finish_reason"))


class ResponsesHeard:
    """An answer of ``/responses``."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._final: str | None = None

    @property
    def text(self) -> str:
        """The words so far; at the end those of the whole answer."""
        return "".join(self._parts) if self._final is None else self._final

    @property
    def whole(self) -> bool:
        """Whether the whole answer was there."""
        return self._final is not None

    def event(self, data: Any) -> None:
        """Take in one event: deltas of text, at the end the answer."""
        kind = data.get("type") if isinstance(data, Mapping) else None
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self._parts.append(text_of(data.get("delta")))
        elif kind in ("response.completed", "response.incomplete"):
            self.body(data.get("response"))

    def body(self, data: Any) -> None:
        """Take in a whole answer."""
        messages = [
            item
            for item in _list(data, "output")
            if isinstance(item, Mapping) and item.get("type") == "message"
        ]
        self._final = "\n".join(filter(None, (text_of(item.get("content")) for item in messages)))


class Listener:
    """Bytes of an answer into what is heard of it; ``streams`` says they are events."""

    def __init__(self, heard: Heard, *, streams: bool) -> None:
        self.heard = heard
        self._streams = streams
        self._pending: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take in some bytes, cut anywhere."""
        self._pending.append(piece)
        if self._streams and (b"\n" in piece or b"\r" in piece):
            self._lines()

    def end(self) -> None:
        """Take in what is left, once no more bytes come."""
        if not self._streams:
            if (data := _parsed(b"".join(self._pending))) is not None:
                self.heard.body(data)
        elif self._pending or self._data:
            self._pending.append(b"\n\n")
            self._lines()

    def _lines(self) -> None:
        text = b"".join(self._pending)
        held = text.endswith(b"\r")  # the other half of a line end may be on its way
        *lines, rest = _LINE.split(text[:-1] if held else text)
        self._pending = [rest + b"\r" if held else rest]
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:])
            elif not line and self._data:
                data = _parsed(b"\n".join(self._data))
                self._data.clear()
                if data is not None:
                    self.heard.event(data)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _list(data: Any, name: str) -> list[Any]:
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, list) else []
