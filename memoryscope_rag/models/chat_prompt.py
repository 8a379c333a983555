"""From chat messages to the tokens of a prompt that fits the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.ports import ChatMessage

_SHORTEST_MARK = 3
"""Shorter added tokens, such as line breaks, are ordinary text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens, and whether they end with the tag that opens the model's reasoning."""

    tokens: list[int]
    reasoning: bool


class PromptMaker:
    """Writes messages by the tokenizer's chat template.

    What a message says cannot end its turn or begin another: the template's own marks in it are
    taken apart (``<|im_end|>`` becomes ``< |im_end|>``).
    """

    def __init__(self, tokenizer: Any, name: str, context: int) -> None:
        if not tokenizer.chat_template:
            raise ModelError(f"{name} has no chat template, so it is no chat model")
        self._tokenizer = tokenizer
        self._name = name
        self._context = context
        added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        marks = sorted((m for m in added if len(m.strip()) >= _SHORTEST_MARK), key=len)
        self._marks = re.compile("|".join(map(re.escape, reversed(marks)))) if marks else None

    def make(self, messages: Sequence[ChatMessage], reply_tokens: int) -> Prompt:
        """The prompt; where it would not fit, without the oldest turns.

        System messages and the last turn stay. A reply goes with the question it answers.

        Args:
            reply_tokens: how many tokens must be left for the reply.

        Raises:
            InvalidInput: there are no messages.
            ModelError: what must stay does not fit, or the template refuses the messages.
        """
        if not messages:
            raise InvalidInput("messages", "must not be empty")
        plain = [replace(message, content=self.plain(message.content)) for message in messages]
        whole = self.prompt(self.written(plain))
        room = self._context - reply_tokens
        if len(whole.tokens) <= room:
            return whole
        turns = [place for place, message in enumerate(plain) if message.role != "system"]
        starts = [place for place in turns[1:] if plain[place].role == "user"]
        if turns and (not starts or starts[-1] != turns[-1]):
            starts.append(turns[-1])
        shortest = whole
        low, high = 0, len(starts)
        best: Prompt | None = None
        while low < high:
            middle = (low + high) // 2
            start = starts[middle]
            kept = [m for place, m in enumerate(plain) if m.role == "system" or place >= start]
            prompt = self.prompt(self.written(kept))
            if len(prompt.tokens) <= room:
                best, high = prompt, middle
            else:
                low = middle + 1
                shortest = prompt
        if best is None:
            raise ModelError(
                f"the last turn with the system messages has {len(shortest.tokens)} tokens, but "
                f"{self._name} has room for {room}: {self._context} less {reply_tokens} for the "
                "reply"
            )
        return best

    def plain(self, text: str) -> str:
        """``text`` with the template's own marks in it taken apart."""
        if self._marks is None:
            return text
        return self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)

    def written(self, messages: Sequence[ChatMessage]) -> str:
        """``messages`` by the template as they are, and the beginning of a reply.

        Raises:
            ModelError: the template refuses them.
        """
        from jinja2.exceptions import TemplateError

        try:
            return self._rendered(messages)
        except TemplateError:
            try:
                return self._rendered(_alternating(messages))
            except TemplateError as error:
                raise ModelError(
                    f"the chat template of {self._name} refuses the messages: {error}"
                ) from error

    def prompt(self, text: str) -> Prompt:
        """The tokens of what :meth:`written` gave, or of a part of it."""
        # verbose would let transformers complain about long texts before they are cut
        tokens = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return Prompt(list(tokens), text.rstrip().endswith("<think>"))

    def _rendered(self, messages: Sequence[ChatMessage]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return str(
            self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        )


def _alternating(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """For templates that want user and assistant in turn and know no other roles."""
    result: list[ChatMessage] = []
    for message in sorted(messages, key=lambda message: message.role != "system"):
        role = message.role if message.role == "assistant" else "user"
        if result and result[-1].role == role:
            text = f"{result[-1].content}\n\n{message.content}"
            result[-1] = replace(result[-1], content=text)
        elif result or role == "user":
            result.append(replace(message, role=role))
    return result
