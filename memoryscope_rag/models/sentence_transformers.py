"""Embedding with sentence-transformers, for models that have no ONNX export (extra, torch)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np

from memoryscope_rag.errors import InvalidInput, MissingExtra, ModelError, ModelNotFound
from memoryscope_rag.models.segment import IntArray, pieces
from memoryscope_rag.ports import EmbedderSpec, FloatArray


class SentenceTransformersEmbedder:
    """An :class:`~memoryscope_rag.ports.Embedder` on a ``SentenceTransformer``.

    Needs the extra ``sentence-transformers``. Calls are run one after the other in a thread of
    their own. On an accelerator a text's vector may differ in the last digits with its batch.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        *,
        query_prefix: str = "",
        document_prefix: str = "",
        batch_size: int = 32,
    ) -> None:
        self._model = model
        self._prefix = {"query": query_prefix, "document": document_prefix}
        self._batch_size = batch_size
        self._tokenizer = _own_tokenizer(model, name)
        width = int(model.max_seq_length or 512)
        special = int(self._tokenizer.num_special_tokens_to_add(False))
        longest = max(len(self._starts(prefix)) for prefix in self._prefix.values())
        self._budget = width - special - longest
        if self._budget < 1:
            raise InvalidInput("prefix", f"leaves no room in {width} tokens")
        digest = hashlib.sha256(_weights_digest(model))
        for part in (*_pooling(model), query_prefix, document_prefix, str(width)):
            digest.update(b"\0" + part.encode())
        dimension = _dimension(model)
        self._spec = EmbedderSpec(name, dimension, digest.hexdigest()[:16], width)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"embed-{name}")

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        device: str | None = None,
        query_prefix: str = "",
        document_prefix: str = "",
        batch_size: int = 32,
    ) -> SentenceTransformersEmbedder:
        """Open a model folder or a model of the hub; no code that comes with a model is run.

        Raises:
            MissingExtra: sentence-transformers is not installed.
            ModelNotFound: there is no such model, or it cannot be fetched.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtra("sentence-transformers", "SentenceTransformersEmbedder") from error
        try:
            model = SentenceTransformer(str(name_or_path), device=device, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelNotFound(f"cannot open {name_or_path}: {error}") from error
        return cls(
            model,
            str(name_or_path).rstrip("/").rsplit("/", 1)[-1],
            query_prefix=query_prefix,
            document_prefix=document_prefix,
            batch_size=batch_size,
        )

    @property
    def spec(self) -> EmbedderSpec:
        """Its fingerprint covers all weights, pooling, prefixes and length."""
        return self._spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """See :class:`~memoryscope_rag.ports.Embedder`. A batch at a time, so others get a turn."""
        loop = asyncio.get_running_loop()
        result = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for start in range(0, len(texts), self._batch_size):
            part = [self._prefix[kind] + text for text in texts[start : start + self._batch_size]]
            try:
                run = loop.run_in_executor(self._thread, self._vectors, part)
            except RuntimeError as error:
                raise ModelError(f"the embedder {self._spec.name} is closed") from error
            result[start : start + len(part)] = await run
        return result

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """Spans that cover ``text``, each fitting the model with either prefix."""
        return pieces(text, self._starts, self._budget)

    def close(self) -> None:
        """Wait for what is running and end the thread; a second call does nothing."""
        self._thread.shutdown(wait=True)

    def _vectors(self, texts: list[str]) -> FloatArray:
        try:
            vectors: FloatArray = self._model.encode(
                texts,
                batch_size=self._batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
                prompt="",  # ours are in the texts; the model's own default would come on top
            ).astype(np.float32)
        except RuntimeError as error:  # out of memory and whatever else torch says
            raise ModelError(f"the model {self._spec.name} failed: {error}") from error
        return vectors

    def _starts(self, text: str) -> IntArray:
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        starts = np.fromiter((start for start, _ in offsets), dtype=np.int64, count=len(offsets))
        return np.maximum.accumulate(starts) if len(starts) else starts


def _own_tokenizer(model: Any, name: str) -> Any:
    """A copy of the model's tokenizer that neither cuts nor pads.

    A copy, because transformers switches truncation and padding of its own at every call.
    """
    from tokenizers import Tokenizer

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InvalidInput("model", f"{name} has no fast tokenizer, so texts cannot be cut")
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _dimension(model: Any) -> int:
    getter = getattr(model, "get_embedding_dimension", None)
    return int(getter() if getter is not None else model.get_sentence_embedding_dimension())


def _weights_digest(model: Any) -> bytes:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        # As fp32: numpy has no bfloat16.
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.digest()


def _pooling(model: Any) -> list[str]:
    """Names of the modules, and the pooling modes that are switched on."""
    result = []
    for module in model:
        config = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
        modes = {key: config[key] for key in sorted(config) if key.startswith("pooling_mode")}
        result.append(f"{type(module).__name__}:{modes}")
    return result
