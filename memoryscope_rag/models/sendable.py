"""Texts as servers take them."""

from __future__ import annotations

BLANK = "."
"""Stands in for a text without letters, which servers refuse."""


def sendable(text: str) -> str:
    """The text without half surrogates, which cannot be sent as UTF-8."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def speaking(text: str) -> str:
    """The text as a server takes it: sendable, and not blank."""
    return sendable(text) if text.strip() else BLANK
