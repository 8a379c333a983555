"""Reranking with a model that reads query and text together (extra ``transformers``)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.torch_folders import locate_folder
from memoryscope_rag.models.torch_runtime import TorchThread, open_classifier, require_transformers
from memoryscope_rag.ports import FloatArray

BATCH = 16
"""Texts in one forward pass; of like length, so that little of it is padding."""
_USUAL_TOKENS = 512


class CrossEncoder:
    """A :class:`~memoryscope_rag.ports.Reranker` on a sequence classification model.

    Scores are the model's logits (of two classes: their difference), so only their order means
    something. A text too long is cut at its end; the query is whole, unless it takes more than
    half of the model. Calls of several tasks share the model batch by batch. Made by :meth:`load`.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, thread: TorchThread) -> None:
        labels = int(model.config.num_labels)
        if labels not in (1, 2):
            raise ModelError(f"{name} tells {labels} classes apart: it is no reranker")
        self._model: Any = model
        self._tokenizer = tokenizer
        self._name = name
        self._thread = thread
        config = model.config.get_text_config()
        positions = int(getattr(config, "max_position_embeddings", None) or _USUAL_TOKENS)
        if config.model_type in {"roberta", "xlm-roberta", "camembert"}:
            positions -= int(config.pad_token_id) + 1  # where their numbering begins
        self._room = min(positions, int(tokenizer.model_max_length))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        models_dir: Path | None = None,
        cache_dir: Path | None = None,
        threads: int = 0,
        device: str | None = "cpu",
    ) -> CrossEncoder:
        """Open a folder, one of ``models_dir``, or ``owner/name`` in the hub's cache.

        Parameters and errors are those of
        :meth:`~memoryscope_rag.models.local.TransformersGenerator.load`.
        """
        require_transformers("CrossEncoder")
        folder = locate_folder(path, models_dir=models_dir, cache_dir=cache_dir)
        name = folder.resolve().name if Path(path).expanduser().exists() else str(path)
        thread = TorchThread(f"rerank-{name}", threads)
        try:
            model, tokenizer = thread.submit(open_classifier, folder, device).result()
            return cls(model, tokenizer, name, thread)
        except BaseException:
            thread.close(wait=False)
            raise

    async def rerank(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Scores, shape ``(len(texts),)``; higher is better.

        Raises:
            InvalidInput: ``texts`` is one string, or something is no text.
            ModelError: torch failed, or the model was closed.
        """
        if isinstance(texts, str):
            raise InvalidInput("texts", "must be a list of strings, not one string")
        result = np.empty(len(texts), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            job = self._thread.submit(self._scores, query, [texts[row] for row in rows])
            scores = await asyncio.wrap_future(job)
            result[rows] = scores
        return result

    def close(self) -> None:
        """Wait for the batch that is running and free the memory; a second call does nothing."""
        self._thread.close()
        self._model = None

    def _scores(self, query: str, texts: list[str]) -> FloatArray:
        import torch

        try:
            pairs = self._tokenizer(
                [self._short(query)] * len(texts),
                texts,
                truncation="only_second",
                max_length=self._room,
                padding=True,
                return_tensors="pt",
                verbose=False,
            )
        except (TypeError, ValueError):
            raise InvalidInput("texts", "holds a lone surrogate, which is not text") from None
        try:
            with torch.inference_mode():
                logits = self._model(**pairs.to(self._model.device)).logits.float()
        except RuntimeError as error:  # out of memory and whatever else torch says
            raise ModelError(f"the model {self._name} failed: {error}") from error
        scores = logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]
        values: FloatArray = scores.cpu().numpy()
        if not np.isfinite(values).all():
            raise ModelError(f"the model {self._name} gave a score that is no number")
        return values

    def _short(self, query: str) -> str:
        """The query, cut so that half of the model is left for the text."""
        found = self._tokenizer(
            query, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ends = [end for _, end in found["offset_mapping"]]
        most = self._room // 2
        return query if len(ends) <= most else query[: ends[most - 1]]
