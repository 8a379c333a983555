"""Reading what a chat model wrote: the reasoning apart, and the JSON value among the prose.

Pure functions. What is forgiven: code fences, reasoning tags, prose around the value, commas before
a closing bracket. Nothing else is guessed: a value that is wrong goes back to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from memoryscope_rag.errors import MalformedReply

T = TypeVar("T")
_OPEN = ("<think>", "<thinking>")
_CLOSE = ("</think>", "</thinking>")
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)```", re.DOTALL)
_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_BRACKET = re.compile(r"[{\[]")
_JSON_LIKE = re.compile(r'\{\s*["\x27}]|\[\s*["{\[\]\d-]')
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"?|[{}\[\]]', re.DOTALL)
_STARTS = 50
"""Brackets that are tried as the beginning of a value; prose has few."""
_SHOWN = 10
"""Errors told to the model at most."""


class ReasoningSplitter:
    """Parts a reply that comes in pieces into text and reasoning.

    Reasoning is what stands between ``<think>`` and ``</think>`` at the very beginning; the same
    tags later on are text. Blanks between the reasoning and the text belong to neither.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def feed(self, piece: str) -> tuple[str, str]:
        """The text and the reasoning that are certain after ``piece``; either may be empty."""
        self._held += piece
        reasoning = ""
        if self._state == "start":
            bare = self._held.lstrip()
            tag = next((tag for tag in _OPEN if bare.startswith(tag)), None)
            if tag is not None:
                self._held = bare[len(tag) :]
                self._state = "reasoning"
            elif any(tag.startswith(bare) for tag in _OPEN):
                return "", ""
            else:
                self._state = "text"
        if self._state == "reasoning":
            reasoning, closed, rest = _until(self._held, _CLOSE)
            self._held = rest
            if closed:
                self._state = "gap"
        if self._state == "gap":
            self._held = self._held.lstrip()
            if self._held:
                self._state = "text"
        if self._state == "text":
            text, self._held = self._held, ""
            return text, reasoning
        return "", reasoning

    def finish(self) -> tuple[str, str]:
        """What was held back because it might have become a tag."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "reasoning" else (held, "")


def _until(text: str, tags: tuple[str, ...]) -> tuple[str, bool, str]:
    """What precedes the first tag, whether there is one, and what follows or must wait."""
    found = [(text.find(tag), tag) for tag in tags if tag in text]
    if found:
        place, tag = min(found)
        return text[:place], True, text[place + len(tag) :]
    place = text.rfind("<")
    if place >= 0 and any(tag.startswith(text[place:]) for tag in tags):
        return text[:place], False, text[place:]
    return text, False, ""


def split_reasoning(text: str) -> tuple[str, str]:
    """(text, reasoning) of a whole reply, exactly as :class:`ReasoningSplitter` gives it."""
    splitter = ReasoningSplitter()
    first, second = splitter.feed(text), splitter.finish()
    return first[0] + second[0], first[1] + second[1]


def json_values(text: str) -> Iterator[Any]:
    """The JSON values in a reply, the most likely one first; none when there is none.

    The whole text, then code fences, then whatever begins with a bracket.
    """
    bare = text
    for tag in _CLOSE:  # also where the opening tag was part of the prompt
        bare = bare.rpartition(tag)[2]
    for version in dict.fromkeys((text, bare)):
        whole = _load(version.removeprefix("\ufeff").strip())
        if whole is not _NOTHING:
            yield whole
            return
    text = bare
    for block in _FENCE.findall(text):
        value = _load(block.strip())
        if value is not _NOTHING:
            yield value
    at = 0
    for _ in range(_STARTS):
        start = _BRACKET.search(text, at)
        if start is None:
            return
        value, at = _load_from(text, start.start())
        if value is not _NOTHING:
            yield value


def parse_reply(text: str, reply_type: type[T]) -> T:
    """The first JSON value in ``text`` that is a ``reply_type``, checked by pydantic.

    Raises:
        MalformedReply: there is none. ``problem`` tells the model what to mend.
    """
    adapter = TypeAdapter(reply_type)
    first: ValidationError | None = None
    for value in json_values(text):
        try:
            return adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            first = first or error
        except (RecursionError, ValueError):  # nested too deeply to be written again
            continue
    if first is None:
        raise MalformedReply("the reply holds no JSON value", text, problem=_why(text))
    kinds = sorted({error["type"] for error in first.errors()})
    name = getattr(reply_type, "__name__", "the type")
    raise MalformedReply(
        f"the reply is no {name}: {first.error_count()} errors ({', '.join(kinds)})",
        text,
        problem=_list(first),
    )


def _list(error: ValidationError) -> str:
    lines = []
    for one in error.errors(include_url=False, include_context=False)[:_SHOWN]:
        where = ".".join(str(part) for part in one["loc"]) or "the value"
        lines.append(f"- {where}: {one['msg']}")
    if error.error_count() > _SHOWN:
        lines.append(f"- and {error.error_count() - _SHOWN} more")
    return "\n".join(lines)


def _why(text: str) -> str:
    if not text.strip():
        return "- the reply is empty"
    start = _BRACKET.search(text)
    if start is None:
        return "- there is no JSON value in the reply"
    try:
        json.loads(text[start.start() :])
    except json.JSONDecodeError as error:
        return f"- the JSON is broken at line {error.lineno}, column {error.colno}: {error.msg}"
    except (RecursionError, ValueError):
        pass
    return "- the JSON cannot be read"


_NOTHING: Any = object()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _load(text: str) -> Any:
    for version in (text, _COMMA.sub(r"\1", text)):
        try:
            return _DECODER.decode(version)
        except (ValueError, RecursionError):
            continue
    return _NOTHING


def _load_from(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at ``start``, _NOTHING when none does, and where to look on.

    What looks like JSON and is broken is passed over as a whole: were its parts tried, the first
    item of a list that was cut off could pass for the answer.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        pass
    if _JSON_LIKE.match(text, start) is None:
        return _NOTHING, start + 1
    end = _end(text, start)
    return _load(text[start:end]), end


def _end(text: str, start: int) -> int:
    """Behind the bracket that closes the one at ``start``; the end of the text if none does."""
    depth = 0
    for found in _TOKEN.finditer(text, start):
        token = found[0]
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
            if depth == 0:
                return found.end()
    return len(text)
