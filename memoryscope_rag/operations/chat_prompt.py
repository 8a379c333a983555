"""What the model is told: instructions, then memory as data behind a fence nobody can forge.

Pure functions. Two rules keep stored texts from posing as something else. Between the fences no
angle bracket is left, so nothing in there can close the fence or spell a chat template's control
token. In the turns of the history and in the query only such tokens are disarmed, the rest stays
letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from memoryscope_rag.lexical import language_of
from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.schema import Message
from memoryscope_rag.workers.prompts import DEFAULT, Prompts

OPEN: Final = "<memory>"
CLOSE: Final = "</memory>"

_ANGLES = str.maketrans({**dict.fromkeys("<＜﹤", "‹"), **dict.fromkeys(">＞﹥", "›")})
# what some readers take for the end of a line, and what commands a terminal
_BREAKS = str.maketrans(
    {
        **dict.fromkeys("\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\u2028\u2029", " "),
        **dict.fromkeys("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x1b\x7f", "\ufffd"),
    }
)
_BRACKETED = re.compile(r"\[(/?(?:[A-Z][A-Z0-9_]+|[gs]MASK))\]")
_CONTROL = re.compile(
    r"<\|[^<>|\n]{0,60}\|>"  # ChatML, Llama 3, Phi, Command R, GPT
    r"|<\uff5c[^<>\uff5c\n]{0,60}\uff5c>"  # DeepSeek
    r"|</?s>|<</?SYS>>"  # Llama 2
    r"|</?(?:start|end)_of_turn>|<(?:bos|eos|pad|unk|sop|eop)>|<reserved_\d+>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\]"
    r"|\[(?:[gs]MASK|BOS|EOS|EOT|UNUSED_TOKEN_\d+)\]"
)
_WEEKDAYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
    }
)
"""Not from strftime, whose names follow the locale of the process."""


def as_data(text: str) -> str:
    """``text`` for the inside of the fence: no angle bracket, no token, no odd line end."""
    return _BRACKETED.sub(r"(\1)", text.translate(_BREAKS).translate(_ANGLES))


def disarmed(text: str) -> str:
    """``text`` with the control tokens of chat templates spelled so that none is one any more."""
    return _CONTROL.sub(lambda found: as_data(found[0]), text)


def fenced(text: str) -> str:
    """``text``, which has to be :func:`as_data`, between the fences."""
    return f"{OPEN}\n{text}\n{CLOSE}"


def system_message(
    prompts: Prompts,
    query: str,
    *,
    now: datetime,
    memory: str = "",
    system_prompt: str | None = None,
    memory_prompt: str | None = None,
    speaker: str | None = None,
    temporary: Sequence[str] = (),
) -> str:
    """The system message, in the language of ``query`` where the words are ours.

    ``now`` is in the user's zone. ``memory`` is :func:`as_data`; without any the memory prompt and
    the name of the user are left out. ``temporary`` memories stand at the end, word for word.
    """
    language = language_of(query)

    def ours(worker: str, **values: str) -> str:
        return prompts.get(worker, language).render(**values)[0].content.strip()

    parts = [ours("chat", query=query, **moment(now, language))]
    if system_prompt is not None:
        parts = [system_prompt] if system_prompt.strip() else []
    if memory:
        parts.append(
            ours("chat_memory", open=OPEN, close=CLOSE, memory=memory)
            if memory_prompt is None
            else memory_prompt
        )
        if speaker is not None:
            parts.append(ours("chat_name", name=as_data(speaker)))
        parts.append(fenced(memory))
    if temporary:
        told = "\n".join(temporary)
        parts.append(f"{ours('chat_temporary', memories=told)}\n{told}")
    return "\n\n".join(parts)


def moment(now: datetime, language: str) -> dict[str, str]:
    """``date``, ``time``, ``weekday`` and ``zone`` as the prompts name them."""
    names = _WEEKDAYS.get(language, _WEEKDAYS[DEFAULT])
    return {
        "date": f"{now:%Y-%m-%d}",
        "time": f"{now:%H:%M}",
        "weekday": names[now.weekday()],
        "zone": str(now.tzinfo),
    }


def conversation(system: str, history: Sequence[Message], query: str) -> list[ChatMessage]:
    """The whole prompt. After the system message roles alternate, beginning with the user.

    Some chat templates refuse anything else. Turns in a row by one side, such as those that a
    failing model left unanswered, become one; an answer whose question is not there is left out.
    """
    messages: list[ChatMessage] = []
    turns = [("assistant" if m.role == "assistant" else "user", m.content) for m in history]
    for role, content in (*turns, ("user", query)):
        text = disarmed(content)
        if messages and messages[-1].role == role:
            messages[-1] = ChatMessage(messages[-1].role, f"{messages[-1].content}\n\n{text}")
        elif role == "user" or messages:
            messages.append(ChatMessage("user" if role == "user" else "assistant", text))
    return [ChatMessage("system", system), *messages] if system else messages
