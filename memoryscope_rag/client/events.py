"""Answers that come in lines: those of an export, and the server-sent events of a reply."""

from __future__ import annotations

from memoryscope_rag.client.calls import adapter
from memoryscope_rag.client.failures import error_of
from memoryscope_rag.operations.chat import ChatDelta, ChatReply
from memoryscope_rag.schema import Evidence


class Lines:
    """Bytes into lines. Only a line feed ends one; JSON may hold what else Unicode has for that."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, piece: bytes) -> list[str]:
        """The lines that ``piece`` completes."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        return [line.decode() for line in whole]


class Events:
    """Takes the lines of one stream."""

    def __init__(self) -> None:
        self._name = ""
        self._evidence = Evidence("", (), "", 0)

    def take(self, line: str) -> ChatDelta | None:
        """The piece that ``line`` completes, if it does. Raises what broke the reply off."""
        field, _, value = line.partition(": ")
        if field == "event":
            self._name = value
        if field != "data":
            return None
        if self._name == "problem":
            raise error_of(500, value.encode())
        if self._name == "evidence":
            self._evidence = adapter(Evidence).validate_json(value)
            return ChatDelta("", self._evidence)
        if self._name == "reply":
            reply: ChatReply = adapter(ChatReply).validate_json(value)
            return ChatDelta("", reply.evidence, reply)
        return ChatDelta(adapter(str).validate_json(value), self._evidence)
