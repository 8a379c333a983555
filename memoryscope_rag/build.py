"""From settings to parts: the embedder, the store and the ranker that a Config names."""

from __future__ import annotations

from pathlib import Path

from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ConfigError
from memoryscope_rag.ports import Embedder, MemoryStore
from memoryscope_rag.scoring import LinearRanker

GENERIC = "generic"


def build_embedder(config: Config) -> Embedder | None:
    """The embedder of ``config.embedder``, ``None`` for the name ``none``."""
    settings = config.embedder
    if settings.name == "none":
        return None
    from memoryscope_rag.models.cached import CachedEmbedder
    from memoryscope_rag.models.onnx import OnnxEmbedder
    from memoryscope_rag.models.presets import ModelOptions

    given = (settings.pooling, settings.query_prefix, settings.document_prefix)
    options = (
        None
        if given == (None, None, None)
        else ModelOptions(
            settings.pooling or "mean",
            settings.query_prefix or "",
            settings.document_prefix or "",
            settings.max_tokens,
        )
    )
    inner = OnnxEmbedder.load(
        settings.name,
        models_dir=settings.models_dir,
        threads=settings.threads,
        options=options,
    )
    return CachedEmbedder(inner, settings.cache_queries) if settings.cache_queries else inner


def build_store(
    config: Config, embedder: Embedder | None, *, reembedding: bool = False
) -> MemoryStore:
    """The SQLite store of ``config.store``, bound to the embedder's vectors."""
    from memoryscope_rag.stores.sqlite import SQLiteStore

    return SQLiteStore.open(
        config.store.path,
        embedder=None if embedder is None else embedder.spec,
        cache_bytes=config.store.cache_mb << 20,
        faiss_threshold=config.store.faiss_threshold,
        reembedding=reembedding,
    )


def build_ranker(config: Config, embedder: Embedder | None) -> LinearRanker:
    """The weights for this embedder: the file of the settings, its preset's, or the generic."""
    path = config.retrieval.ranker
    if path is not None:
        try:
            return LinearRanker.from_json(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read ranker {path}: {error.strerror}") from None
    name = GENERIC if embedder is None else embedder.spec.name
    try:
        text = packaged_text("configs/rankers", f"{name}.json")
    except (FileNotFoundError, OSError):
        text = packaged_text("configs/rankers", f"{GENERIC}.json")
    return LinearRanker.from_json(text)
