"""How a chat model is shown a memory: one conversation, by the model's own template.

The user's first turn holds the text; it ends only when a question is put, so that text can be
appended to it at any time::

    user: [context] text text text … | [end of context]
    assistant: [acknowledged]
    user: question
    assistant: …

What stands before the bar is memory, what stands after it is read anew with each question and then
dropped. So there is one system turn, at the very beginning, and no reply is left open in memory.
"""

from __future__ import annotations

from typing import Any

from memoryscope_rag.beacon.prompts import MemoryPrompts, fill
from memoryscope_rag.models.chat_prompt import Prompt, PromptMaker
from memoryscope_rag.ports import ChatMessage

_TEXT = "\ue000memory\ue000"
"""Stands for the text while the template is applied; private letters that no prompt holds."""


class Frame:
    """Makes the tokens around a memory.

    Args:
        tokenizer: of transformers, with a chat template.
        name: of the model, for errors.
        context: positions of the model.

    Raises:
        ModelError: it is no chat model.
    """

    def __init__(self, tokenizer: Any, name: str, context: int, prompts: MemoryPrompts) -> None:
        self._maker = PromptMaker(tokenizer, name, context)
        self._prompts = prompts

    def head(self, language: str) -> list[int]:
        """The tokens before the text."""
        return self._maker.prompt(self._written(language, "").partition(_TEXT)[0]).tokens

    def text(self, text: str) -> list[int]:
        """The tokens of ``text``, which cannot end its turn or begin another."""
        return self._maker.prompt(self._maker.plain(text)).tokens

    def question(self, language: str, question: str) -> Prompt:
        """What follows the text when ``question`` is put.

        Args:
            language: that of :meth:`head`.
        """
        return self._maker.prompt(self._written(language, question).partition(_TEXT)[2])

    def alone(self, question: str, reply_tokens: int) -> Prompt:
        """``question`` without any memory.

        Raises:
            ModelError: it does not fit the model.
        """
        return self._maker.make([ChatMessage("user", question)], reply_tokens)

    def length(self, question: str) -> int:
        """Tokens of ``question`` without any memory."""
        plain = self._maker.plain(question)
        return len(self._maker.prompt(self._maker.written([ChatMessage("user", plain)])).tokens)

    def _written(self, language: str, question: str) -> str:
        context = fill(self._prompts.get("context", language), context=_TEXT)
        return self._maker.written(
            [
                ChatMessage("user", context),
                ChatMessage("assistant", self._prompts.render("acknowledged", language)),
                ChatMessage("user", self._maker.plain(question).replace(_TEXT, "")),
            ]
        )
