"""One model that reads histories into memories and answers from them."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from memoryscope_rag.beacon.attach import attached
from memoryscope_rag.beacon.batch import read_batch
from memoryscope_rag.beacon.cache import Past
from memoryscope_rag.beacon.checkpoint import load_trained
from memoryscope_rag.beacon.compressor import Beacons, Compressor
from memoryscope_rag.beacon.decode import Answer, Compressing, Frozen, Piece, Speaker
from memoryscope_rag.beacon.encode import Encoder
from memoryscope_rag.beacon.model import MemoryModel
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState, Span
from memoryscope_rag.beacon.weights import BeaconWeights, fingerprint
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL
from memoryscope_rag.models.decoding import USUAL_REPLY, end_tokens
from memoryscope_rag.models.torch_folders import locate_chat_model
from memoryscope_rag.models.torch_runtime import open_decoder
from memoryscope_rag.ports import Sampling

logger = logging.getLogger(__name__)
NEARLY_FULL = 0.9
"""The share of the model's positions from which on a memory is reported as nearly full."""


@dataclass(frozen=True, slots=True)
class TokenizedMessage:
    """A message as the model reads it, and the id that it is found by again."""

    message_id: str
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class ReadingStats:
    """What an engine has read into memories: raw tokens, and calls of the model for them."""

    tokens: int = 0
    calls: int = 0


class BeaconEngine:
    """Reads histories into memories and answers from them; holds none of them.

    A :class:`~memoryscope_rag.beacon.state.MemoryState` goes in, another comes out, and the old one
    stays as good as it was. One call runs at a time, others wait; while a stream is open, it runs.

    Args:
        model: a causal language model of transformers, with its head. Left as it is.
        tokenizer: of transformers; without it answers have tokens only.
        compressor: what is kept of a full window; beacons by default.
        weights: of the beacons; without them those of the model itself, which are untrained.
        pasts: how many memories are kept ready, rotated, beside the states themselves.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        settings: BeaconSettings = BeaconSettings(),  # noqa: B008 - frozen
        compressor: Compressor | None = None,
        weights: BeaconWeights | None = None,
        pasts: int = 1,
    ) -> None:
        if pasts < 1:
            raise InvalidInput("pasts", f"is {pasts}, must be at least 1")
        compressor = Beacons() if compressor is None else compressor
        self.trained = weights is not None or not compressor.uses_beacons
        """Whether the compressor does not rest on beacons that were never trained."""
        if compressor.uses_beacons and weights is None:
            weights = BeaconWeights.from_base(model)
        self.model = MemoryModel.of(model)
        self.tokenizer = tokenizer
        self.encoder = Encoder(self.model, settings, compressor, weights)
        self.stats = ReadingStats()
        mattering = replace(settings, parallel_windows=1, when_full="error")
        named = [fingerprint(model), repr(mattering), compressor.name]
        named.append("" if weights is None else fingerprint(weights))
        self.origin = hashlib.sha256("|".join(named).encode()).hexdigest()[:16]
        """Names model, beacon weights, settings and compressor: what its memories depend on."""
        ends = end_tokens(model, tokenizer) if tokenizer is not None else frozenset[int]()
        self._speaker = Speaker(model, tokenizer, ends)
        self._limit = pasts
        self._pasts: list[Past] = []
        self._lock = threading.Lock()
        self._holder: int | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_CHAT_MODEL,
        *,
        adapter: Path | None = None,
        settings: BeaconSettings | None = None,
        compressor: Compressor | None = None,
        models_dir: Path | None = None,
        cache_dir: Path | None = None,
        device: str | None = "cpu",
        pasts: int = 1,
    ) -> BeaconEngine:
        """Find and open a model, with the beacons of an adapter or of a released checkpoint.

        Args:
            name_or_path: as for :class:`~memoryscope_rag.models.local.TransformersGenerator`, or a
                released memory model.
            adapter: a folder that :func:`~memoryscope_rag.beacon.checkpoint.save_adapter` wrote.
            settings: in place of those of the adapter or the checkpoint.

        Raises:
            InvalidInput: an unknown name or device.
            ModelNotFound: the files are not here; says how to get them.
            ModelCorrupt: a file is not the pinned one, or cannot be read.
            ModelError: the model or the beacons are of another kind; says what is missing.
        """
        folder = locate_chat_model(name_or_path, models_dir=models_dir, cache_dir=cache_dir)
        model, tokenizer = open_decoder(folder, device)
        wanted = compressor is None or compressor.uses_beacons
        trained = load_trained(folder, model, adapter) if wanted else None
        weights, usual = trained or (None, BeaconSettings())
        return cls(
            model,
            tokenizer,
            settings=usual if settings is None else settings,
            compressor=compressor,
            weights=weights,
            pasts=pasts,
        )

    # ------------------------------------------------------------ reading

    def empty(self) -> MemoryState:
        """A memory of nothing."""
        return self.encoder.empty(self.origin)

    def append(self, state: MemoryState, messages: Iterable[TokenizedMessage]) -> MemoryState:
        """``state`` and then ``messages``. Reads these alone, whatever the state covers.

        Raises:
            InvalidInput: a token is none of the model's, or the state is another engine's.
            ModelError: they do not fit the model; nothing was read.
        """
        spans, ids, end = list(state.spans), list[int](), state.tokens
        for message in messages:
            spans.append(Span(message.message_id, end, end + len(message.ids)))
            ids.extend(message.ids)
            end += len(message.ids)
        return replace(self.append_ids(state, ids), spans=tuple(spans))

    def append_ids(self, state: MemoryState, ids: Sequence[int]) -> MemoryState:
        """As :meth:`append`, with tokens that are of no message."""
        new = self._checked(state, ids)
        with self.alone():
            past = self._past(state)
            with self.encoder.reading(past) as reader:
                longer, _ = reader.read(state, new)
            self._count(reader.tokens, reader.calls)
        self._report(state, longer)
        return longer

    def append_batch(
        self, states: Sequence[MemoryState], ids: Sequence[Sequence[int]]
    ) -> list[MemoryState]:
        """Each of ``states`` and then its own of ``ids``, side by side; see :meth:`append_ids`."""
        new = [self._checked(state, some) for state, some in zip(states, ids, strict=True)]
        stock, weights = self.model.stock, self.encoder.weights
        with self.alone(), torch.no_grad(), attached(stock, weights) as attachment:
            longer, calls = read_batch(self.encoder, attachment, states, new)
            self._count(sum(map(len, new)), calls)
        for before, after in zip(states, longer, strict=True):
            self._report(before, after)
        return longer

    def forget(self, state: MemoryState, message_ids: Collection[str]) -> MemoryState:
        """``state`` as if these messages had never been.

        Windows before the first of their tokens stay; what follows is read again without them.
        Copies in this engine are dropped. The caller lets go of the old state.

        Raises:
            InvalidInput: the state is another engine's.
            ModelError: as for :meth:`append`.
        """
        gone = set(message_ids)
        first = state.first_token_of(gone)
        if first is None:
            return state
        before = state.rollback(state.blocks_before(first))
        if first < len(state.prefix_ids):
            before = replace(self.empty(), fixed_ratio=state.fixed_ratio)
        start = before.tokens
        ids = state.token_ids(start)
        stays = torch.ones(len(ids), dtype=torch.bool)
        spans: list[Span] = []
        shift = 0
        for span in state.spans:
            if span.message_id in gone:
                stays[span.start - start : span.end - start] = False
                shift += span.end - span.start
            else:
                spans.append(replace(span, start=span.start - shift, end=span.end - shift))
        self.let_go()
        return replace(self.append_ids(before, ids[stays].tolist()), spans=tuple(spans))

    def let_go(self) -> None:
        """Drop the copies of memories that are kept ready."""
        with self.alone():
            self._pasts.clear()

    # ------------------------------------------------------------ answering

    def generate(
        self,
        state: MemoryState,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling = Sampling(),
        *,
        repetition_penalty: float | None = None,
    ) -> list[Answer]:
        """An answer to each of ``prompts``, all from the one memory, which is not written to.

        Args:
            sampling: what it leaves open is as the model's generation settings say.
            repetition_penalty: on tokens of the prompt and the answer, not of the memory.

        Raises:
            InvalidInput: no prompt, an empty one, or sampling that makes no sense.
            ModelError: a prompt does not fit behind the memory.
        """
        pieces = self.stream(state, prompts, sampling, repetition_penalty=repetition_penalty)
        found = {piece.prompt: piece.answer for piece in pieces if piece.answer is not None}
        return [found[number] for number in range(len(prompts))]

    def stream(
        self,
        state: MemoryState,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling = Sampling(),
        *,
        repetition_penalty: float | None = None,
    ) -> Generator[Piece, None, None]:
        """As :meth:`generate`, piece by piece. Closing the iterator early ends it."""
        for prompt in prompts:
            self._checked(state, prompt)
        with self.alone(), torch.no_grad():
            past = self._past(state)
            wanted = len(prompts) * (sampling.max_tokens or USUAL_REPLY) + sum(map(len, prompts))
            past.attach(state.parts(), reserve=wanted)
            memory = len(past)
            try:
                source = Frozen(self.model, past)
                yield from self._speaker.answers(source, prompts, sampling, repetition_penalty)
            finally:
                past.cut(memory)

    def generate_into(
        self,
        state: MemoryState,
        prompt: Sequence[int],
        sampling: Sampling = Sampling(),
        *,
        repetition_penalty: float | None = None,
    ) -> tuple[Answer, MemoryState]:
        """An answer, and the memory with prompt and answer read into it.

        So does the reference implementation answer (MemoRAG); the last token is not read.
        """
        self._checked(state, prompt)
        with self.alone():
            past = self._past(state)
            with self.encoder.reading(past) as reader:
                source = Compressing(reader, state)
                pieces = self._speaker.answers(source, [prompt], sampling, repetition_penalty)
                answers = [piece.answer for piece in pieces if piece.answer is not None]
            self._count(reader.tokens, reader.calls)
        return answers[0], source.state

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The model for this thread alone; the calls of others wait until the block ends.

        Raises:
            ModelError: this thread has it already.
        """
        if self._holder == threading.get_ident():
            raise ModelError("this engine is still answering in this thread; end that stream first")
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
            except RuntimeError as error:  # torch's, as for want of memory
                raise ModelError(f"the model failed: {error}") from error
            finally:
                self._holder = None

    # ------------------------------------------------------------ within

    def _checked(self, state: MemoryState, ids: Sequence[int]) -> torch.Tensor:
        if state.origin != self.origin:
            raise InvalidInput(
                "state", "was made by another model, other beacons, settings or compressor"
            )
        vocabulary = self.model.stock.get_input_embeddings().weight.shape[0]
        if ids and not 0 <= min(ids) <= max(ids) < vocabulary:
            raise InvalidInput("ids", f"holds a token that is none of the model's {vocabulary}")
        return torch.tensor(ids, dtype=torch.int32)

    def _past(self, state: MemoryState) -> Past:
        """Where most of ``state`` is attached already, or room for it."""
        parts = state.parts()
        best = max(self._pasts, key=lambda past: past.overlap(parts), default=None)
        if best is None or not best.overlap(parts):
            if len(self._pasts) < self._limit:
                self._pasts.append(self.model.past())
                best = self._pasts[-1]
            else:
                best = self._pasts[0]
        self._pasts.remove(best)
        self._pasts.append(best)
        return best

    def _count(self, tokens: int, calls: int) -> None:
        self.stats = ReadingStats(self.stats.tokens + tokens, self.stats.calls + calls)

    def _report(self, before: MemoryState, after: MemoryState) -> None:
        if before.row_count < NEARLY_FULL * self.model.capacity <= after.row_count:
            logger.warning(
                "a beacon memory of %d tokens takes %d of the model's %d positions",
                after.tokens,
                after.row_count,
                self.model.capacity,
            )
