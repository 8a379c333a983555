"""Answering from a memory without writing to it.

Several prompts go in one sequence behind the memory, each seeing the memory and itself alone, at
the positions that it would have alone: so they share the one copy of the memory, and none needs
padding. No beacons are made: in training, too, the window of the answer has none (MemoRAG's
training; Activation Beacon, arXiv 2401.03462, §3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from memoryscope_rag.beacon.cache import Past
from memoryscope_rag.beacon.encode import Reader
from memoryscope_rag.beacon.model import MemoryModel
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.decoding import USUAL_REPLY
from memoryscope_rag.models.picking import Picker, check_sampling
from memoryscope_rag.models.token_text import StopStrings, TokenText
from memoryscope_rag.ports import Sampling


class Continuing(Protocol):
    """Goes on from a memory."""

    def room(self, prompt: Sequence[int]) -> int:
        """How many tokens may follow ``prompt``."""
        ...

    def begin(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read the prompts; float32 ``(prompts, vocabulary)``, the scores of what follows each."""
        ...

    def go_on(self, tokens: Sequence[tuple[int, int]]) -> torch.Tensor:
        """Read one more token for each of some prompts, as (number of the prompt, token)."""
        ...


class Frozen:
    """Goes on behind the rows of a memory, which stay what they are.

    Args:
        past: holds the memory; what is read is added to it.
    """

    def __init__(self, model: MemoryModel, past: Past) -> None:
        self._model = model
        self._past = past
        self._memory = len(past)
        self._owners = torch.empty(0, dtype=torch.long)
        self._lengths: list[int] = []

    def room(self, prompt: Sequence[int]) -> int:
        """See :class:`Continuing`."""
        return self._model.capacity - self._memory - len(prompt)

    def begin(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """See :class:`Continuing`."""
        self._lengths = [0] * len(prompts)
        read = [(number, token) for number, prompt in enumerate(prompts) for token in prompt]
        hidden = self._read(read)
        last = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0) - 1
        return self._model.logits(hidden[last])

    def go_on(self, tokens: Sequence[tuple[int, int]]) -> torch.Tensor:
        """See :class:`Continuing`."""
        return self._model.logits(self._read(tokens))

    def _read(self, tokens: Sequence[tuple[int, int]]) -> torch.Tensor:
        """Hidden states ``(tokens, hidden_size)``."""
        positions = []
        for number, _ in tokens:
            positions.append(self._memory + self._lengths[number])
            self._lengths[number] += 1
        mask = None
        if len(self._lengths) > 1:
            new = torch.tensor([number for number, _ in tokens])
            self._owners = torch.cat([self._owners, new])
            seen = torch.ones(len(new), self._memory, dtype=torch.bool)
            own = self._owners[None, :] == new[:, None]
            order = torch.arange(len(self._owners))
            own &= order[None, :] <= order[-len(new) :, None]
            mask = torch.cat([seen, own], dim=1)[None]
        ids = torch.tensor([token for _, token in tokens])
        return self._model.hidden(
            self._model.embed(ids)[None], torch.tensor([positions]), self._past.cache, mask
        )[0]


class Compressing:
    """Reads prompt and answer into the memory, as the reference implementation does.

    One prompt at a time. ``state`` is the memory with all that was read.
    """

    def __init__(self, reader: Reader, state: MemoryState) -> None:
        self._reader = reader
        self.state = state

    def room(self, prompt: Sequence[int]) -> int:
        """See :class:`Continuing`; the memory says itself when it is full."""
        del prompt
        return 1 << 30

    def begin(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """See :class:`Continuing`."""
        if len(prompts) != 1:
            raise InvalidInput("prompts", "are several; a memory takes in one after the other")
        return self._read(prompts[0])

    def go_on(self, tokens: Sequence[tuple[int, int]]) -> torch.Tensor:
        """See :class:`Continuing`."""
        return self._read([token for _, token in tokens])

    def _read(self, tokens: Sequence[int]) -> torch.Tensor:
        ids = torch.tensor(tokens, dtype=torch.int32)
        self.state, hidden = self._reader.read(self.state, ids)
        return self._reader.encoder.model.logits(hidden[None])


@dataclass(frozen=True, slots=True)
class Answer:
    """What was generated. ``tokens`` end with the one that ended it, ``text`` before."""

    text: str
    tokens: tuple[int, ...]
    finish: Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer to the prompt ``prompt``; with the last of it, the answer."""

    prompt: int
    text: str
    answer: Answer | None = None


class Speaker:
    """Turns scores into text. ``tokenizer`` may be ``None``: then there are tokens only."""

    def __init__(self, stock: Any, tokenizer: Any, ends: frozenset[int]) -> None:
        self._stock = stock
        self._tokenizer = tokenizer
        self._ends = ends

    def answers(
        self,
        source: Continuing,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        repetition_penalty: float | None,
    ) -> Iterator[Piece]:
        """The answers, as they come; one call of the model for all prompts that are not done.

        Raises:
            InvalidInput: no prompt, an empty one, or sampling that makes no sense.
            ModelError: a prompt does not fit behind the memory.
        """
        check_sampling(sampling)
        if repetition_penalty is not None and repetition_penalty <= 0:
            raise InvalidInput("repetition_penalty", f"is {repetition_penalty}, must be above 0")
        if sampling.stop and self._tokenizer is None:
            raise InvalidInput("stop", "needs a tokenizer, and the engine was given none")
        if not prompts or not all(prompts):
            raise InvalidInput("prompts", "must not be empty, nor any of them")
        running = {
            number: self._voice(source, prompt, sampling, repetition_penalty)
            for number, prompt in enumerate(prompts)
        }
        logits = source.begin(prompts)
        while running:
            said: list[tuple[int, int]] = []
            for row, (number, voice) in enumerate(list(running.items())):
                text = voice.hear(logits[row])
                if voice.finish is None:
                    said.append((number, voice.tokens[-1]))
                    if text:
                        yield Piece(number, text)
                else:
                    del running[number]
                    yield Piece(number, text, voice.answer())
            if said:
                logits = source.go_on(said)

    def _voice(
        self,
        source: Continuing,
        prompt: Sequence[int],
        sampling: Sampling,
        repetition_penalty: float | None,
    ) -> _Voice:
        room = source.room(prompt)
        if room < 1:
            raise ModelError(
                f"a prompt of {len(prompt)} tokens does not fit behind the memory: the model lacks "
                f"{1 - room} positions; use a higher ratio or a shorter prompt"
            )
        settings, device = self._stock.generation_config, self._stock.device
        picker = Picker(sampling, settings, device, repetition_penalty=repetition_penalty)
        limit = min(sampling.max_tokens or USUAL_REPLY, room)
        return _Voice(picker, prompt, limit, self._ends, self._tokenizer, sampling.stop)


class _Voice:
    """One answer on its way. The penalty for repetitions counts prompt and answer alone."""

    def __init__(
        self,
        picker: Picker,
        prompt: Sequence[int],
        limit: int,
        ends: frozenset[int],
        tokenizer: Any,
        stops: Sequence[str],
    ) -> None:
        self._picker = picker
        self._before = list(prompt)
        self._limit = limit
        self._ends = ends
        self._reading = None if tokenizer is None else TokenText(tokenizer)
        self._stops = StopStrings(stops)
        self._texts: list[str] = []
        self.tokens: list[int] = []
        self.finish: Literal["stop", "length"] | None = None

    def hear(self, logits: torch.Tensor) -> str:
        """Pick the next token; the text that may be shown with it."""
        token = self._picker.pick(logits, self._before)
        self._before.append(token)
        self.tokens.append(token)
        text = ""
        if token in self._ends:
            self.finish = "stop"
        elif self._reading is not None:
            text = self._stops.feed(self._reading.feed(token))
        if self._stops.found:
            self.finish = "stop"
        if self.finish is None and len(self.tokens) >= self._limit:
            self.finish = "length"
        if self.finish is not None:
            text += self._stops.finish()
        self._texts.append(text)
        return text

    def answer(self) -> Answer:
        """All of it."""
        return Answer("".join(self._texts), tuple(self.tokens), self.finish or "length")
