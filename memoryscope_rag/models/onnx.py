"""Embedding with ONNX Runtime: one class for every preset and for any other BERT-like export.

A run of the session takes one text. Batches would be no faster on a CPU, and an int8 graph
scales its activations over the whole batch, so a text's vector would depend on its company
(e5-small-v2: cosine down to .995). Several texts run on several threads instead, and the same
text has the same vector, bit for bit, whatever it is embedded with.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.files import ModelFiles, locate
from memoryscope_rag.models.graph import cores, graph_errors, hidden_output, open_graph
from memoryscope_rag.models.presets import DEFAULT_MODEL, ModelOptions, preset_with
from memoryscope_rag.models.segment import pieces
from memoryscope_rag.models.tokenizer import bert_uncased, read_tokenizer
from memoryscope_rag.ports import EmbedderSpec, FloatArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STAND_BACK = 0.5
"""Seconds that a document waits for queries at most, so that many of these do not starve it."""
_CHARS_A_TOKEN = 20
"""A text is first read only this far for each token it may have; English has about 4.5."""


class OnnxEmbedder:
    """An :class:`~memoryscope_rag.ports.Embedder` on ONNX Runtime and ``tokenizers``.

    Safe to use from several threads and event loops at once. Made by :meth:`load`.
    """

    def __init__(
        self,
        session: Any,
        tokenizer: Tokenizer,
        spec: EmbedderSpec,
        options: ModelOptions,
        threads: int,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._spec = spec
        self._options = options
        self._prefix = {"query": options.query_prefix, "document": options.document_prefix}
        self._inputs = {item.name: item.type for item in session.get_inputs()}
        self._output, _ = hidden_output(session)
        self._threads = threads
        name = f"embed-{spec.name}"
        self._pools = {
            "query": ThreadPoolExecutor(threads, thread_name_prefix=f"{name}-query"),
            "document": ThreadPoolExecutor(threads, thread_name_prefix=name),
        }
        self._no_query = threading.Condition()
        self._queries = 0
        self._special = tokenizer.num_special_tokens_to_add(False)
        longest = max(len(self._read(prefix).ids) for prefix in self._prefix.values())
        self._budget = spec.max_tokens - longest
        if self._budget <= self._special:
            raise InvalidInput("max_tokens", f"{spec.max_tokens} leaves no room beside the prefix")

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        models_dir: Path | None = None,
        cache_dir: Path | None = None,
        threads: int = 0,
        options: ModelOptions | None = None,
    ) -> OnnxEmbedder:
        """Find, check and open a model.

        Args:
            name_or_path: a preset, a folder of ``models_dir``, or the path of a model folder or
                ``.onnx`` file.
            models_dir: where model folders are; looked at before the pulled models.
            cache_dir: where pulled models are; ``~/.cache/memoryscope-rag/models`` by default.
            threads: how many texts to run side by side, one a core; 0 is every core that this
                process may use.
            options: how to use a model given by path. Not needed where the file is, by its
                checksum, that of a preset; refused for a preset.

        Raises:
            InvalidInput: an unknown name, or options missing or not wanted.
            ModelNotFound: the files are not here; says how to get them.
            ModelCorrupt: a file is not the pinned one, or is no model.
        """
        if threads < 0:
            raise InvalidInput("threads", f"is {threads}, must not be negative")
        files = locate(name_or_path, models_dir=models_dir, cache_dir=cache_dir)
        name, options = _named_options(files, options)
        threads = threads or cores()
        session = open_graph(files.graph)
        tokenizer = bert_uncased() if files.tokenizer is None else read_tokenizer(files.tokenizer)
        spec = EmbedderSpec(
            name=name,
            dimension=hidden_output(session)[1],
            fingerprint=fingerprint(files.sha256, options),
            max_tokens=options.max_tokens,
        )
        return cls(session, tokenizer, spec, options, threads)

    @property
    def spec(self) -> EmbedderSpec:
        """Name, dimension, fingerprint and the tokens that fit, prefix and specials included."""
        return self._spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """Unit vectors ``(len(texts), dimension)``; see :class:`~memoryscope_rag.ports.Embedder`.

        The event loop stays free. Somebody waits for a query: documents stand back while one is
        being embedded, so that it shares the cores with what was begun before it at most.

        Raises:
            InvalidInput: a text holds a lone surrogate.
            ModelError: the model failed or is closed.
        """
        result = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for rows in self._turns(texts):
            runs = self._start(texts, rows, kind)
            result[rows] = await asyncio.gather(*map(asyncio.wrap_future, runs))
        return result

    def embed_sync(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """As :meth:`embed`, waiting for the vectors."""
        result = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for rows in self._turns(texts):
            result[rows] = [run.result() for run in self._start(texts, rows, kind)]
        return result

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """Spans that cover ``text``, each fitting the model with either prefix.

        Linear: about 2 s for a million characters, which are read once as a whole and once piece
        by piece; 0.1 ms for a chat turn.
        """
        return pieces(text, self._token_starts, self._budget - self._special)

    def close(self) -> None:
        """Wait for what is running and end the threads; a second call does nothing."""
        for pool in self._pools.values():
            pool.shutdown(wait=True)

    def _turns(self, texts: Sequence[str]) -> list[list[int]]:
        """Which texts are queued together: of like length, so that no thread waits for another."""
        if isinstance(texts, str):
            raise InvalidInput("texts", "must be a list of strings, not one string")
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        width = 2 * self._threads
        return [order[start : start + width] for start in range(0, len(order), width)]

    def _start(
        self, texts: Sequence[str], rows: list[int], kind: Literal["query", "document"]
    ) -> list[Future[FloatArray]]:
        prefix = self._prefix[kind]
        try:
            return [
                self._pools[kind].submit(self._in_turn, kind, prefix, texts[row]) for row in rows
            ]
        except RuntimeError as error:
            raise ModelError(f"the embedder {self._spec.name} is closed") from error

    def _token_starts(self, text: str) -> NDArray[np.int64]:
        offsets = self._read(text).offsets
        starts = np.fromiter((start for start, _ in offsets), dtype=np.int64, count=len(offsets))
        return np.maximum.accumulate(starts) if len(starts) else starts

    def _read(self, text: str) -> Any:
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError:
            raise InvalidInput("text", "holds a lone surrogate, which is not text") from None

    def _encode(self, text: str) -> Any:
        """The encoding that goes in, special tokens included, cut at its end to ``max_tokens``."""
        room = self._spec.max_tokens - self._special
        encoding = None
        head = text[: room * _CHARS_A_TOKEN]
        if len(head) < len(text):
            # Of a long text only the beginning is read: up to a space its tokens are the same.
            encoding = self._read(head[: head.rfind(" ") + 1])
        if encoding is None or len(encoding.ids) < room:
            encoding = self._read(text)
        encoding.truncate(room)
        return self._tokenizer.post_process(encoding)

    def _in_turn(self, kind: Literal["query", "document"], prefix: str, text: str) -> FloatArray:
        """The vector of one text, a document's not while a query is at it."""
        if kind == "document":
            with self._no_query:
                self._no_query.wait_for(lambda: self._queries == 0, timeout=STAND_BACK)
            return self._vector(prefix, text)
        with self._no_query:
            self._queries += 1
        try:
            return self._vector(prefix, text)
        finally:
            with self._no_query:
                self._queries -= 1
                self._no_query.notify_all()

    def _vector(self, prefix: str, text: str) -> FloatArray:
        """One unit vector, shape ``(dimension,)``."""
        encoding = self._encode(prefix + text)
        feed: dict[str, NDArray[Any]] = {}
        for name, kind in self._inputs.items():
            if name == "input_ids":
                values = encoding.ids
            elif name == "token_type_ids":
                values = encoding.type_ids
            elif name == "attention_mask":
                values = [1] * len(encoding.ids)
            else:  # position_ids; load() refused anything else
                values = list(range(len(encoding.ids)))
            feed[name] = np.array([values], dtype=np.int32 if "int32" in kind else np.int64)
        try:
            (hidden,) = self._session.run([self._output], feed)
        except graph_errors() as error:
            raise ModelError(f"the model {self._spec.name} failed: {error}") from error
        states: FloatArray = np.asarray(hidden[0], dtype=np.float32)
        # Without padding the mask is all ones, so the masked mean is the mean.
        vector = states[0] if self._options.pooling == "cls" else states.mean(axis=0)
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or norm == 0.0:
            raise ModelError(f"the model {self._spec.name} gave a vector without a direction")
        unit: FloatArray = vector / np.float32(norm)
        return unit


def fingerprint(sha256: str, options: ModelOptions) -> str:
    """16 hex digits that change with the weights or the way of using them.

    The tokenizer is left out: MiniLM's own file and the vocabulary shipped here are the same one.
    """
    parts = (
        sha256,
        options.pooling,
        options.query_prefix,
        options.document_prefix,
        str(options.max_tokens),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _named_options(files: ModelFiles, options: ModelOptions | None) -> tuple[str, ModelOptions]:
    """The spec's name, and the options in force."""
    if files.preset is not None:
        if options is not None:
            raise InvalidInput("options", f"{files.preset.name} is a preset and has its own")
        return files.preset.name, files.preset.options
    same = preset_with(files.sha256)
    if options is None and same is not None:
        return same.name, same.options
    if options is None:
        raise InvalidInput(
            "options", f"a model by path ({files.graph}) needs pooling, 'mean' or 'cls'"
        )
    folder = files.graph.parent.parent if files.graph.parent.name == "onnx" else files.graph.parent
    return folder.resolve().name, options
