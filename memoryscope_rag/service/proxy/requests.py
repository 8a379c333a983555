"""What a request in OpenAI's manner says, and where memories are put into it. Pure functions.

Two dialects: Chat Completions, whose request holds the whole conversation, and Responses, where
the upstream may keep it. What is not named here passes through as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Tree = Mapping[str, Any]
Place = Literal["turn", "start"]
"""Where memories stand: right before the user's last message, or with the first instructions."""

_INSTRUCTING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Said:
    """Words of one side of the conversation."""

    role: Literal["user", "assistant"]
    text: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says.

    ``said`` is the conversation as far as it is shown. The user's turns from ``new`` on have no
    answer yet; ``rounds`` counts what stands behind the last of them, such as calls of tools and
    their results. ``before`` names what the upstream keeps of the conversation, ``kept`` says that
    it keeps this, too.
    """

    said: tuple[Said, ...]
    new: int = 0
    rounds: int = 0
    before: tuple[str, ...] = ()
    kept: bool = False

    @property
    def query(self) -> str:
        """The user's last words, "" where there are none."""
        return next((one.text for one in reversed(self.said) if one.role == "user"), "")

    @property
    def opening(self) -> str:
        """The user's first words, "" where there are none."""
        return next((one.text for one in self.said if one.role == "user"), "")


def text_of(content: object) -> str:
    """The words of a message's content, a text or parts of which some are texts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))


def read_chat(tree: Tree) -> Asked:
    """A request to ``/chat/completions``."""
    return _read(tree["messages"])


def read_responses(tree: Tree) -> Asked:
    """A request to ``/responses``."""
    conversation = tree.get("conversation")
    if isinstance(conversation, Mapping):
        conversation = conversation.get("id")
    before = (tree.get("previous_response_id"), conversation)
    return _read(
        _items(tree),
        before=tuple(name for name in before if isinstance(name, str)),
        kept=tree.get("store") is not False,
    )


def chat_with(tree: Tree, memories: str, place: Place) -> dict[str, Any]:
    """``tree`` with ``memories`` in it.

    What is before the turn stays as it was in the request before, so the upstream's cache of
    prompts goes on to hold; at the start memories would change the prompt from there on.
    """
    messages = list(tree["messages"])
    if place == "turn":
        messages.insert(_last_user(messages), _instructions(messages, memories))
    elif messages[0].get("role") in _INSTRUCTING:
        messages[0] = {**messages[0], "content": _joined(messages[0].get("content"), memories)}
    else:
        messages.insert(0, {"role": "system", "content": memories})
    return {**tree, "messages": messages}


def responses_with(tree: Tree, memories: str, place: Place) -> dict[str, Any]:
    """``tree`` with ``memories`` in it.

    Where the upstream keeps the conversation they are among the ``instructions``, which it keeps
    for this answer alone: what is forgotten here must not live on there.
    """
    if place == "start" or tree.get("store") is not False:
        given = tree.get("instructions")
        return {**tree, "instructions": f"{given}\n\n{memories}" if given else memories}
    items = list(_items(tree))
    items.insert(_last_user(items), _instructions(items, memories))
    return {**tree, "input": items}


def _items(tree: Tree) -> Sequence[Any]:
    given = tree.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return given or []


def _read(messages: Sequence[Any], *, before: tuple[str, ...] = (), kept: bool = False) -> Asked:
    said: list[Said] = []
    new = rounds = 0
    for message in messages:
        role = message.get("role")
        text = text_of(message.get("content"))
        rounds += 1
        if role == "user":
            name = message.get("name")
            said.append(Said("user", text, name if isinstance(name, str) else None))
            rounds = 0
        elif role == "assistant":
            said.append(Said("assistant", text))
            if not message.get("tool_calls"):
                new = len(said)
    return Asked(tuple(said), new, rounds, before, kept)


def _last_user(messages: Sequence[Any]) -> int:
    places = [place for place, one in enumerate(messages) if one.get("role") == "user"]
    return places[-1] if places else len(messages)


def _instructions(messages: Sequence[Any], text: str) -> dict[str, str]:
    roles = [one.get("role") for one in messages]
    # some models take either of the two, but not both
    role = "developer" if "developer" in roles and "system" not in roles else "system"
    return {"role": role, "content": text}


def _joined(content: object, text: str) -> object:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return f"{content}\n\n{text}" if content else text
