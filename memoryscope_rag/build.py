"""From settings to parts: the models, the store and the ranker that a Config names."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from memoryscope_rag.configs.load import packaged_text, read_secret
from memoryscope_rag.configs.model import Config, EmbedderConfig, GeneratorConfig
from memoryscope_rag.errors import ConfigError, StoreUnavailable
from memoryscope_rag.operations.late_memory import LateMemory
from memoryscope_rag.ports import (
    Clock,
    Embedder,
    EmbedderSpec,
    Generator,
    HistoryMemory,
    MemoryStore,
    Reranker,
    Sampling,
)
from memoryscope_rag.scoring import LinearRanker

if TYPE_CHECKING:
    from memoryscope_rag.models.ladder import Ladder
    from memoryscope_rag.models.ledger import Ledger

GENERIC = "generic"


def build_embedder(config: Config) -> Embedder | None:
    """The embedder of ``config.embedder``, ``None`` for the name ``none``.

    Raises:
        ConfigError: a setting is wrong, or the variable with the key is not set.
        MissingExtra: the package that the provider needs is not installed.
        ModelNotFound, ModelCorrupt: the model's files are not there, or not as pinned.
    """
    settings = config.embedder
    if settings.name == "none":
        return None
    from memoryscope_rag.models.cached import CachedEmbedder

    inner = _onnx_embedder(settings) if settings.provider == "onnx" else _remote_embedder(settings)
    return CachedEmbedder(inner, settings.cache_queries) if settings.cache_queries else inner


def build_generator(
    config: Config, *, ledger: Ledger | None = None, ladder: Ladder | None = None
) -> Generator | None:
    """The chat model of ``config.generator``, ``None`` for the provider ``none``.

    It is wrapped, from the outside: the settings' sampling, the cache, the limit, the budget,
    retries. ``ledger`` counts what it takes; ``ladder`` remembers how servers give JSON; an
    application has one of each.

    Raises:
        ConfigError: a setting is wrong, or the variable with the key is not set.
        MissingExtra: the package that the provider needs is not installed.
        ModelNotFound: a local model's files are not there.
    """
    settings = config.generator
    if settings.provider == "none":
        return None
    from memoryscope_rag.models.budgeted import BudgetedGenerator
    from memoryscope_rag.models.cached_replies import CachedGenerator
    from memoryscope_rag.models.ledger import Ledger, Price
    from memoryscope_rag.models.limited import LimitedGenerator
    from memoryscope_rag.models.retrying import RetryingGenerator, RetryPolicy
    from memoryscope_rag.models.sampled import SampledGenerator

    result = _bare_generator(config, ladder)
    if settings.provider != "transformers":  # what fails here fails again, and may take its time
        policy = RetryPolicy(settings.retries + 1, settings.deadline_s)
        result = RetryingGenerator(result, policy)
    result = BudgetedGenerator(
        result,
        ledger or Ledger(),
        price=Price(settings.price_in, settings.price_out),
        budget=settings.budget,
    )
    result = LimitedGenerator(result, settings.concurrency)
    if settings.cache:
        result = CachedGenerator(result, settings.cache)
    defaults = Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens)
    return result if defaults == Sampling() else SampledGenerator(result, defaults)


def build_reranker(config: Config) -> Reranker | None:
    """The reranker of ``config.reranker``, ``None`` for the provider ``none``.

    Raises:
        ConfigError: a setting is wrong, or the variable with the key is not set.
        MissingExtra: the package that the provider needs is not installed.
        ModelNotFound: a local model's files are not there.
    """
    settings = config.reranker
    if settings.provider == "none":
        return None
    model = str(settings.model)
    if settings.provider == "transformers":
        from memoryscope_rag.models.local import CrossEncoder

        return CrossEncoder.load(
            model,
            models_dir=config.embedder.models_dir,
            threads=settings.threads,
            device=settings.device,
        )
    from memoryscope_rag.models.endpoints import find_endpoint
    from memoryscope_rag.models.retrying import RetryingReranker, RetryPolicy

    wanted = find_endpoint("dashscope").key_variable if settings.provider == "dashscope" else None
    variable = settings.api_key or wanted
    options: dict[str, Any] = {
        "api_key": read_secret(variable),
        "key_variable": variable,
        "timeout_s": settings.timeout_s,
        "concurrency": settings.concurrency,
    }
    inner: Reranker
    if settings.provider == "dashscope":
        from memoryscope_rag.models.dashscope import DashScopeReranker

        inner = DashScopeReranker(model, base_url=settings.base_url, **options)
    else:
        from memoryscope_rag.models.openai import OpenAIReranker

        inner = OpenAIReranker(model, base_url=str(settings.base_url), **options)
    attempts = settings.retries + 1
    return RetryingReranker(inner, RetryPolicy(attempts, settings.timeout_s * attempts))


def build_memory(config: Config) -> HistoryMemory | None:
    """The beacon memories of all scopes, ``None`` where ``config.memory.model`` names no model.

    Torch is imported, and the model opened, when they are first needed; only then a wrong setting
    raises ConfigError. Prompts of one's own lie in the folder ``beacon`` of ``config.prompts``.

    Raises:
        MissingExtra: torch or transformers is not installed.
    """
    if config.memory.model is None:
        return None
    from memoryscope_rag.models.torch_runtime import require_transformers

    require_transformers("the beacon memory")
    return LateMemory(Path(config.memory.model).name, partial(_beacon_memories, config))


def _beacon_memories(config: Config) -> HistoryMemory:
    from memoryscope_rag.beacon.memories import BeaconMemories

    prompts = None if config.prompts is None else config.prompts / "beacon"
    return BeaconMemories(
        config.memory,
        config.memory_folder,
        prompts=prompts if prompts is not None and prompts.is_dir() else None,
        zone=ZoneInfo(config.time_zone),
        models_dir=config.embedder.models_dir,
    )


async def open_store(
    config: Config, embedder: Embedder | None, *, clock: Clock, reembedding: bool = False
) -> MemoryStore:
    """The store of ``config.store``, bound to the embedder's vectors; a cluster's with its outbox.

    A store on a cluster belongs to the event loop that opened it. A cluster that is away does not
    keep one from opening whose outbox is there: messages wait in it then.

    Raises:
        ConfigError: a setting is wrong, or the variable with the key is not set.
        MissingExtra: the package that the provider needs is not installed.
        EmbeddingMismatch: the store holds vectors of another model.
        StoreError: it cannot be opened.
    """
    spec = None if embedder is None else embedder.spec
    opener = partial(open_database, config, spec, clock=clock, reembedding=reembedding)
    outbox = config.store.elasticsearch.outbox_path
    if config.store.provider != "elasticsearch" or outbox is None:
        return await opener()
    from memoryscope_rag.stores.late import LateStore
    from memoryscope_rag.stores.outbox import OutboxStore

    store: MemoryStore
    try:
        store = await opener()
    except StoreUnavailable:
        # an outbox that is there was made by somebody who had reached the cluster with these
        # settings; without one they may be wrong, and nothing may seem to be recorded
        if not outbox.is_file():
            raise
        store = LateStore(opener)
    try:
        return await OutboxStore.open(store, outbox, embedder=spec, clock=clock)
    except BaseException:
        await store.close()
        raise


async def open_database(
    config: Config, spec: EmbedderSpec | None, *, clock: Clock, reembedding: bool = False
) -> MemoryStore:
    """The store of ``config.store`` alone, for vectors of ``spec``. Raises as open_store."""
    if config.store.provider == "elasticsearch":
        from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore

        return await ElasticsearchStore.open(
            config.store.elasticsearch, embedder=spec, clock=clock, reembedding=reembedding
        )
    return await asyncio.to_thread(_open_file, config, spec, reembedding)


def _open_file(config: Config, spec: EmbedderSpec | None, reembedding: bool) -> MemoryStore:
    from memoryscope_rag.stores.sqlite import SQLiteStore

    return SQLiteStore.open(
        config.store.path,
        embedder=spec,
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


def _bare_generator(config: Config, ladder: Ladder | None) -> Generator:
    settings = config.generator
    model = str(settings.model)
    if settings.provider == "transformers":
        from memoryscope_rag.models.local import TransformersGenerator

        return TransformersGenerator.load(
            model,
            models_dir=config.embedder.models_dir,
            threads=settings.threads,
            device=settings.device,
        )
    options = _server_options(settings)
    if settings.provider == "dashscope":
        from memoryscope_rag.models.dashscope import DashScopeGenerator

        return DashScopeGenerator(model, extra=settings.extra_body, ladder=ladder, **options)
    from memoryscope_rag.models.endpoints import find_endpoint
    from memoryscope_rag.models.openai import OpenAIGenerator

    return OpenAIGenerator(
        model,
        endpoint=find_endpoint(settings.provider),
        api_version=settings.api_version,
        extra_body=settings.extra_body,
        ladder=ladder,
        **options,
    )


def _server_options(settings: EmbedderConfig | GeneratorConfig) -> dict[str, Any]:
    from memoryscope_rag.models.endpoints import find_endpoint

    variable = settings.api_key or find_endpoint(settings.provider).key_variable
    return {
        "base_url": settings.base_url,
        "api_key": read_secret(variable),
        "key_variable": variable,
        "timeout_s": settings.timeout_s,
    }


def _remote_embedder(settings: EmbedderConfig) -> Embedder:
    from memoryscope_rag.models.endpoints import EMBEDDING_MODELS, find_endpoint
    from memoryscope_rag.models.retrying import RetryingEmbedder, RetryPolicy

    known = EMBEDDING_MODELS.get(settings.name)
    dimension = settings.dimension or (known.dimension if known is not None else None)
    if dimension is None:
        raise ConfigError(
            f"setting 'embedder.dimension': the width of {settings.name!r} is not known"
        )
    options = _server_options(settings) | {
        # a model that is not known is not asked: its server might refuse the question
        "ask_dimension": known is not None and known.any_width and dimension != known.dimension,
        "query_prefix": settings.query_prefix or "",
        "document_prefix": settings.document_prefix or "",
        "max_tokens": settings.max_tokens
        if known is None or "max_tokens" in settings.model_fields_set
        else known.max_tokens,
        "concurrency": settings.concurrency,
    }
    inner: Embedder
    if settings.provider == "dashscope":
        from memoryscope_rag.models.dashscope import DashScopeEmbedder

        inner = DashScopeEmbedder(settings.name, dimension, **options)
    else:
        from memoryscope_rag.models.openai import OpenAIEmbedder

        inner = OpenAIEmbedder(
            settings.name,
            dimension,
            endpoint=find_endpoint(settings.provider),
            api_version=settings.api_version,
            **options,
        )
    attempts = settings.retries + 1
    return RetryingEmbedder(inner, RetryPolicy(attempts, settings.timeout_s * attempts))


def _onnx_embedder(settings: EmbedderConfig) -> Embedder:
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
    return OnnxEmbedder.load(
        settings.name,
        models_dir=settings.models_dir,
        threads=settings.threads,
        options=options,
    )
