"""One reply of a causal language model, token by token.

A loop of our own in place of ``generate()``: that one samples from torch's global random state,
and a stream of it needs a second thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.chat_prompt import Prompt, PromptMaker
from memoryscope_rag.models.picking import Picker
from memoryscope_rag.models.token_text import StopStrings, TokenText
from memoryscope_rag.ports import ChatMessage, Reply, Sampling, Usage
from memoryscope_rag.replies import ReasoningSplitter

if TYPE_CHECKING:
    import torch

USUAL_REPLY = 512
"""Tokens of a reply where the caller gives no bound: a small model may never come to an end."""
_PIECE = 512
"""Tokens of a prompt that are read at once; in between it can be stopped."""
_UNBOUNDED = 1 << 20


class Stopped(Exception):
    """The reply was given up."""


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply of ``model``."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    ends = [ends] if isinstance(ends, int) else list(ends or ())
    return frozenset((*ends, tokenizer.eos_token_id))


class Decoder:
    """A model, its tokenizer and what both need. For one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.name = name
        text_config = model.config.get_text_config(decoder=True)
        self.context = int(getattr(text_config, "max_position_embeddings", None) or _UNBOUNDED)
        self._prompts = PromptMaker(tokenizer, name, self.context)
        self._ends = end_tokens(model, tokenizer)
        known = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def reply(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        emit: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> Reply:
        """The reply; its text goes to ``emit`` as it comes.

        Raises:
            Stopped: ``stopped`` said so.
            ModelError: the prompt does not fit, or torch failed, as for want of memory.
        """
        wanted = sampling.max_tokens or USUAL_REPLY
        prompt = self._prompts.make(messages, min(wanted, self.context // 4))
        limit = min(wanted, self.context - len(prompt.tokens))
        try:
            return self._decoded(prompt, sampling, limit, emit, stopped)
        except RuntimeError as error:
            raise ModelError(f"the model {self.name} failed: {error}") from error

    def _decoded(
        self,
        prompt: Prompt,
        sampling: Sampling,
        limit: int,
        emit: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> Reply:
        picker = Picker(sampling, self._model.generation_config, self._model.device)
        text = TokenText(self._tokenizer)
        shown = _Shown(prompt.reasoning, sampling.stop, emit)
        tokens = list(prompt.tokens)
        fresh, cache = tokens, None
        finish: Literal["stop", "length"] = "length"
        for _ in range(limit):
            logits, cache = self._forward(fresh, cache, stopped)
            token = picker.pick(logits, tokens)
            tokens.append(token)
            if token in self._ends:
                finish = "stop"
                break
            shown.feed(text.feed(token))
            if shown.stopped:
                finish = "stop"
                break
            fresh = [token]
        usage = Usage(len(prompt.tokens), len(tokens) - len(prompt.tokens))
        visible, reasoning = shown.finish()
        return Reply(visible, self.name, usage, finish, reasoning)

    def _forward(
        self, fresh: Sequence[int], cache: Any, stopped: Callable[[], bool]
    ) -> tuple[torch.Tensor, Any]:
        """Logits after the last of ``fresh``, shape ``(vocabulary,)``, and the longer cache."""
        import torch

        logits = None
        with torch.inference_mode():
            for start in range(0, len(fresh), _PIECE):
                if stopped():
                    raise Stopped
                ids = torch.tensor([fresh[start : start + _PIECE]], device=self._model.device)
                out = self._model(
                    input_ids=ids, past_key_values=cache, use_cache=True, **self._last_only
                )
                cache, logits = out.past_key_values, out.logits[0, -1]
        if logits is None:
            raise ModelError(f"the chat template of {self.name} gave an empty prompt")
        return logits, cache


class _Shown:
    """The text of a reply on its way out: reasoning apart, cut before a stop string."""

    def __init__(self, reasoning: bool, stops: Sequence[str], emit: Callable[[str], None]) -> None:
        self._splitter = ReasoningSplitter()
        if reasoning:
            self._splitter.feed("<think>")
        self._stops = StopStrings(stops)
        self._emit = emit
        self._texts: list[str] = []
        self._thoughts: list[str] = []

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stops.found

    def feed(self, piece: str) -> None:
        text, thought = self._splitter.feed(piece)
        self._thoughts.append(thought)
        self._show(self._stops.feed(text))

    def finish(self) -> tuple[str, str]:
        """(text, reasoning), all that is held back let go."""
        if not self.stopped:
            text, thought = self._splitter.finish()
            self._thoughts.append(thought)
            self._show(self._stops.feed(text) + self._stops.finish())
        return "".join(self._texts), "".join(self._thoughts)

    def _show(self, text: str) -> None:
        if text:
            self._texts.append(text)
            self._emit(text)
