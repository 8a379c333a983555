"""The settings, one strict tree: unknown keys and wrong types are errors, not surprises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from memoryscope_rag.schema import Profile


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise ValueError(
            "a secret is given as the name of the environment variable that holds it, "
            "such as HF_TOKEN, never as its value"
        )
    return name


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("is no time zone of the IANA data base, such as Europe/Berlin") from None
    return name


SecretName = Annotated[str, AfterValidator(_check_variable)]
TimeZone = Annotated[str, AfterValidator(_check_zone)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
# strict mode would refuse the strings that YAML and the environment can only give
FilePath = Annotated[Path, Field(strict=False)]

_SCHEMES = ("http://", "https://")


class ElasticsearchConfig(_Strict):
    """Which Elasticsearch cluster keeps memory, and how it is spoken to."""

    url: str | None = Field(None, description="of the cluster; commas between several nodes")
    prefix: str = Field("memoryscope", description="what the names of its indices begin with")
    api_key: SecretName | None = Field(
        None, description="variable with the API key", json_schema_extra={"secret": True}
    )
    username: str | None = Field(None, description="for basic authentication")
    password: SecretName | None = Field(
        None, description="variable with the password", json_schema_extra={"secret": True}
    )
    ca_certs: FilePath | None = Field(None, description="PEM file of the authority to trust")
    fingerprint: str | None = Field(None, description="SHA-256 of the server's certificate, hex")
    verify: bool = Field(True, description="check the server's certificate and name")
    timeout_s: float = Field(10.0, gt=0, description="of one attempt, seconds")
    retries: int = Field(4, ge=0, description="further attempts at most")
    deadline_s: float = Field(20.0, gt=0, description="of all attempts together, seconds")
    shards: int = Field(1, ge=1, le=1024, description="of each index, when it is made")
    replicas: int = Field(1, ge=0, description="copies of each shard, when it is made")
    consistency: Literal["read_your_writes", "eventual"] = Field(
        "read_your_writes", description="whether a search sees every write acknowledged before it"
    )
    outbox: bool | FilePath = Field(
        True, description="a file takes writes while the cluster is away: PREFIX-outbox.db, or this"
    )

    @property
    def urls(self) -> tuple[str, ...]:
        """The nodes' URLs, at least one in a whole configuration."""
        return tuple(part.strip() for part in (self.url or "").split(",") if part.strip())

    @property
    def outbox_path(self) -> Path | None:
        """The file of the outbox, if there is to be one."""
        if isinstance(self.outbox, Path):
            return self.outbox
        return Path(f"{self.prefix}-outbox.db") if self.outbox else None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for url in self.urls:
            parts = urlsplit(url)
            if not url.startswith(_SCHEMES) or not parts.hostname:
                raise ValueError("url must begin with http:// or https:// and name a host")
            if parts.username or parts.password:
                raise ValueError("url holds credentials; give username, password or api_key")
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,99}", self.prefix):
            raise ValueError(
                "prefix must be lower case letters, digits, '_', '-' or '.', at most 100, and "
                "begin with a letter or digit"
            )
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.api_key is not None and self.username is not None:
            raise ValueError("give api_key, or username and password, not both")
        if self.fingerprint is not None and not re.fullmatch(
            r"[0-9a-fA-F]{64}", self.fingerprint.replace(":", "")
        ):
            raise ValueError("fingerprint must be a SHA-256, 64 hex digits, with or without ':'")
        return self


class StoreConfig(_Strict):
    """Where memory is kept."""

    provider: Literal["sqlite", "elasticsearch"] = Field("sqlite", description="the database")
    path: FilePath = Field(Path("memory.db"), description="the SQLite file")
    cache_mb: int = Field(1024, ge=16, description="memory for search indices, MiB")
    faiss_threshold: int = Field(
        200_000, ge=1000, description="nodes in a scope above which FAISS proposes candidates"
    )
    elasticsearch: ElasticsearchConfig = ElasticsearchConfig()

    @property
    def place(self) -> str:
        """The file or the cluster, for people."""
        if self.provider == "sqlite":
            return str(self.path)
        return f"{self.elasticsearch.url}, indices {self.elasticsearch.prefix}-*"

    @model_validator(mode="before")
    @classmethod
    def _a_url_is_a_cluster(cls, data: Any) -> Any:
        """``path`` may be the URL of a cluster, or ``elasticsearch`` for that of the settings: what
        names a store is one string then.
        """
        if not isinstance(data, dict):
            return data
        rest = {key: value for key, value in data.items() if key != "path"}
        if data.get("path") == "elasticsearch":
            return rest | {"provider": "elasticsearch"}
        within = data.get("elasticsearch", {})
        if not str(data.get("path", "")).startswith(_SCHEMES) or not isinstance(within, dict):
            return data
        return rest | {
            "provider": "elasticsearch",
            "elasticsearch": within | {"url": data["path"]},
        }

    @model_validator(mode="after")
    def _has_cluster(self) -> Self:
        if self.provider == "elasticsearch" and not self.elasticsearch.urls:
            raise ValueError("provider elasticsearch needs elasticsearch.url")
        return self


class EmbedderConfig(_Strict):
    """Which model turns text into vectors."""

    provider: Literal[
        "onnx", "openai", "azure", "dashscope-compatible", "ollama", "vllm", "dashscope"
    ] = Field("onnx", description="where the model runs")
    name: str = Field(
        "all-minilm-l6-v2",
        description="a preset, a folder with an ONNX export, a server's model, or 'none'",
    )
    models_dir: FilePath | None = Field(None, description="folder of models; MEMORYSCOPE_MODELS")
    threads: int = Field(0, ge=0, description="texts embedded side by side; 0 is one a core")
    pooling: Literal["mean", "cls"] | None = Field(None, description="for a model by path")
    query_prefix: str | None = Field(None, description="for a model by path")
    document_prefix: str | None = Field(None, description="for a model by path")
    max_tokens: int = Field(512, ge=8, description="for a model by path")
    cache_queries: int = Field(4096, ge=0, description="embedded texts kept in memory")
    hub_token: SecretName | None = Field(
        None, description="variable with the model hub's token", json_schema_extra={"secret": True}
    )
    base_url: str | None = Field(None, description="of the server, in place of the provider's")
    api_key: SecretName | None = Field(
        None, description="variable with the server's key", json_schema_extra={"secret": True}
    )
    api_version: str | None = Field(None, description="for azure")
    dimension: int | None = Field(None, ge=1, description="width of a server's vectors")
    timeout_s: float = Field(30.0, gt=0, description="of one request, seconds")
    retries: int = Field(3, ge=0, description="further attempts at most")
    concurrency: int = Field(4, ge=1, description="requests at once")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.provider != "onnx" and self.name == EmbedderConfig.model_fields["name"].default:
            raise ValueError(f"provider {self.provider} needs the name of a model")
        if self.provider == "azure" and not (self.base_url and self.api_version):
            raise ValueError("provider azure needs base_url and api_version")
        return self


class GeneratorConfig(_Strict):
    """Which chat model consolidates memory."""

    provider: Literal[
        "none",
        "openai",
        "azure",
        "deepseek",
        "dashscope-compatible",
        "ollama",
        "vllm",
        "dashscope",
        "transformers",
    ] = Field("none", description="where the model runs")
    model: str | None = Field(None, description="its name there, or a folder for transformers")
    base_url: str | None = Field(None, description="of the server, in place of the provider's")
    api_key: SecretName | None = Field(
        None, description="variable with the server's key", json_schema_extra={"secret": True}
    )
    api_version: str | None = Field(None, description="for azure")
    temperature: float | None = Field(None, ge=0, description="where a caller says none")
    max_tokens: int | None = Field(None, ge=1, description="of a reply, where a caller says none")
    extra_body: dict[str, Any] = Field({}, description="further fields of every request")
    timeout_s: float = Field(60.0, gt=0, description="of one attempt, seconds")
    retries: int = Field(3, ge=0, description="further attempts at most")
    deadline_s: float = Field(180.0, gt=0, description="of all attempts together, seconds")
    concurrency: int = Field(4, ge=1, description="calls at once")
    cache: int = Field(0, ge=0, description="replies kept in memory")
    price_in: float = Field(0.0, ge=0, description="of a million tokens of prompt")
    price_out: float = Field(0.0, ge=0, description="of a million tokens of reply")
    budget: float | None = Field(None, gt=0, description="what a process may spend")
    threads: int = Field(0, ge=0, description="for transformers; 0 lets it choose")
    device: str | None = Field(None, description="for transformers, such as cuda")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.provider != "none" and not self.model:
            raise ValueError(f"provider {self.provider} needs a model")
        if self.provider == "azure" and not (self.base_url and self.api_version):
            raise ValueError("provider azure needs base_url and api_version")
        if self.budget is not None and not (self.price_in or self.price_out):
            raise ValueError("a budget needs price_in and price_out, or nothing is ever spent")
        return self


class RerankerConfig(_Strict):
    """Which model re-orders what was found."""

    provider: Literal["none", "dashscope", "rerank-api", "transformers"] = Field(
        "none", description="where the model runs"
    )
    model: str | None = Field(None, description="its name there, or a folder for transformers")
    base_url: str | None = Field(None, description="of the server; '/rerank' is added to it")
    api_key: SecretName | None = Field(
        None, description="variable with the server's key", json_schema_extra={"secret": True}
    )
    timeout_s: float = Field(10.0, gt=0, description="of one request, seconds")
    retries: int = Field(1, ge=0, description="further attempts at most")
    concurrency: int = Field(4, ge=1, description="requests at once")
    threads: int = Field(0, ge=0, description="for transformers; 0 lets it choose")
    device: str | None = Field(None, description="for transformers, such as cuda")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.provider != "none" and not self.model:
            raise ValueError(f"provider {self.provider} needs a model")
        if self.provider == "rerank-api" and not self.base_url:
            raise ValueError("provider rerank-api needs a base_url")
        return self


class AutoConfig(_Strict):
    """What the profile ``auto`` does where it is in doubt."""

    then: Literal["read", "clues", "deep"] = Field("read", description="the profile it goes on to")
    below: float = Field(
        0.5, ge=0, le=1, description="confidence in the first five below which it goes on"
    )


class RetrievalConfig(_Strict):
    """How evidence is found."""

    operation: FilePath | None = Field(None, description="YAML of another operation")
    ranker: FilePath | None = Field(None, description="weights made by 'bench fit'")
    limit: int = Field(10, ge=1, le=1000, description="items returned at most")
    budget_tokens: int = Field(1500, ge=0, description="tokens of packed evidence at most")
    budget_ms: float | None = Field(None, gt=0, description="deadline of a retrieval, ms")
    floor: bool = Field(True, description="return nothing when nothing fits the query")
    profile: Profile | None = Field(
        None, description="how much is done; auto where there is a beacon memory, else fast"
    )
    auto: AutoConfig = AutoConfig()


class MemoryConfig(_Strict):
    """The beacon memory: which model remembers whole histories, and how."""

    model: str | None = Field(
        None, description="chat model, such as smollm2-135m-instruct; none: no beacon memory"
    )
    compressor: Literal["beacon", "select", "full"] | None = Field(
        None, description="what is kept of a full window; by default what suits the model"
    )
    ratio: int = Field(4, ge=1, le=64, description="tokens a kept row, at least")
    window: int | None = Field(None, ge=2, description="tokens that are compressed together")
    adapter: FilePath | None = Field(None, description="folder with trained beacons")
    folder: FilePath | None = Field(None, description="of the files; default: beside the store")
    encoding: Literal["bf16", "int8", "int4"] = Field("int8", description="of rows on disk")
    budget_mb: int | None = Field(
        None, ge=1, description="of one scope, MiB; what is older is compressed further"
    )
    recent_tokens: int = Field(32_768, ge=0, description="last tokens that the budget spares")
    disk_mb: int | None = Field(None, ge=1, description="of all scopes, MiB; rebuilt when asked")
    host_mb: int = Field(4096, ge=16, description="of files kept mapped, MiB")
    device_mb: int = Field(2048, ge=16, description="of memories kept ready, MiB")
    read: bool = Field(True, description="keep sessions so that attention can be read")
    session_ratio: Literal[1, 2, 4, 8, 16] = Field(
        1, description="tokens a kept row of a session; 1 keeps all, and is read best"
    )
    heads: FilePath | None = Field(None, description="made by 'bench readout'; default: packaged")
    threads: int = Field(0, ge=0, description="of torch; 0 is half the cores")
    device: str = Field("cpu", description="of torch, such as cuda")
    step_tokens: int = Field(1024, ge=64, description="tokens read before others have their turn")
    lease_s: float = Field(120.0, gt=0, description="how long a dead process keeps its scope")


class ChatConfig(_Strict):
    """What a reply is made of, besides the evidence."""

    budget_ms: float | None = Field(
        300.0, gt=0, description="what memory may take before a reply is made without it, ms"
    )
    history_turns: int = Field(6, ge=0, description="last turns of the session always shown")
    history_tokens: int = Field(2000, ge=0, description="tokens of history at most")


class ScheduleConfig(_Strict):
    """When the backend works, once the application was started with ``start()``."""

    after_messages: int = Field(20, ge=1, description="consolidate when so many are pending")
    after_idle_s: float = Field(20.0, gt=0, description="or when none came for so many seconds")
    consolidate_every_s: float = Field(60.0, gt=0, description="or when one waited so long")
    reflect_every_s: float = Field(900.0, gt=0, description="reflect so long after new facts")
    refresh_after_tokens: int = Field(
        512, ge=1, description="refresh the beacon memory after so many"
    )
    refresh_every_s: float = Field(120.0, gt=0, description="or when one message waited so long")
    tick_s: float = Field(1.0, gt=0, description="seconds between looks at what is due")
    workers: int = Field(2, ge=1, description="scopes that are worked on at the same time")
    backoff_s: float = Field(5.0, gt=0, description="wait after a failure, doubled by the next")
    backoff_limit_s: float = Field(600.0, gt=0, description="longest wait after failures")
    close_s: float = Field(10.0, ge=0, description="how long close() consolidates what is left")
    process: Literal["auto", "own", "shared"] = Field(
        "auto", description="own: not the application's; auto: own unless that loads too much twice"
    )


class ConsolidationConfig(_Strict):
    """How messages become observations."""

    operation: FilePath | None = Field(None, description="YAML of another operation")
    batch_messages: int = Field(20, ge=1, le=200, description="messages of a batch at most")
    batch_tokens: int = Field(1500, ge=100, description="tokens of a batch's messages, about")
    context_turns: int = Field(4, ge=0, le=50, description="turns before them that are shown")
    attempts: int = Field(5, ge=1, description="failures after which a message is parked")
    lease_s: float = Field(120.0, gt=0, description="how long a dead process keeps its scope")


class ReflectionConfig(_Strict):
    """How observations become insights."""

    operation: FilePath | None = Field(None, description="YAML of another operation")
    threshold: int = Field(6, ge=1, description="fresh facts from which new subjects are sought")
    batch: int = Field(50, ge=1, le=500, description="fresh facts of a run at most")
    subjects: int = Field(3, ge=0, description="new subjects of a run at most; 0 is any number")
    calls: int = Field(4, ge=1, description="questions about values a run at most")
    long_range: bool = Field(True, description="compare fresh facts with older ones once more")
    lease_s: float = Field(120.0, gt=0, description="how long a dead process keeps its scope")


class ServiceConfig(_Strict):
    """What the HTTP service allows its callers; each worker process counts by itself."""

    state: FilePath | None = Field(
        None, description="file of API keys and outcomes; default: beside the store"
    )
    body_mb: int = Field(8, ge=1, le=1024, description="of a request's body, MiB")
    rate_per_s: float = Field(200.0, gt=0, description="requests of one key, lasting")
    burst: int = Field(400, ge=1, description="requests of one key at once")
    connections: int = Field(1024, ge=1, description="open at once; more are turned away")
    head_s: float = Field(10.0, gt=0, description="for the head of a request to arrive, seconds")
    body_s: float = Field(30.0, gt=0, description="for its body, and for a client to read on")
    stop_s: float = Field(20.0, ge=0, description="for requests under way when it stops, seconds")
    telemetry: bool = Field(False, description="OpenTelemetry, as its own OTEL_* variables say")


class ProxyConfig(_Strict):
    """Memory for clients of OpenAI's API: where their requests go on to, what memory adds."""

    base_url: str | None = Field(
        None, description="of the upstream's API; none: the chat model of generator answers"
    )
    api_key: SecretName | None = Field(
        None, description="variable with the upstream's key", json_schema_extra={"secret": True}
    )
    inject: Literal["turn", "start", "none"] = Field(
        "turn", description="where memories stand: before the turn, at the start, nowhere"
    )
    record: bool = Field(True, description="record both sides of each turn")
    budget_tokens: int | None = Field(
        None, ge=0, description="tokens of memories; default: retrieval.budget_tokens"
    )
    budget_ms: float = Field(
        300.0, gt=0, description="what recall may take before a request goes on without it, ms"
    )
    user_header: HeaderName = Field("X-User-ID", description="says whose memory it is")
    session_header: HeaderName = Field("X-Session-ID", description="says which conversation")
    agent_header: HeaderName = Field("X-Agent-ID", description="says with which agent")
    timeout_s: float = Field(600.0, gt=0, description="between two pieces of an answer, seconds")
    finish_s: float = Field(
        60.0, ge=0, description="how long an answer is read on whose client left, seconds"
    )


class Config(_Strict):
    """All settings."""

    store: StoreConfig = StoreConfig()
    embedder: EmbedderConfig = EmbedderConfig()
    generator: GeneratorConfig = GeneratorConfig()
    reranker: RerankerConfig = RerankerConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    memory: MemoryConfig = MemoryConfig()
    consolidation: ConsolidationConfig = ConsolidationConfig()
    chat: ChatConfig = ChatConfig()
    reflection: ReflectionConfig = ReflectionConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    service: ServiceConfig = ServiceConfig()
    proxy: ProxyConfig = ProxyConfig()
    prompts: FilePath | None = Field(None, description="folder of LANGUAGE.yaml prompt files")
    time_zone: TimeZone = Field("UTC", description="zone that 'yesterday' is meant in")

    @property
    def memory_folder(self) -> Path:
        """Where the beacon memories lie: beside the store unless ``memory.folder`` names it."""
        if self.memory.folder is not None:
            return self.memory.folder
        store = self.store
        if store.provider == "sqlite":
            return store.path.with_name(f"{store.path.name}-memory")
        return Path(f"{store.elasticsearch.prefix}-memory")

    def dump(self) -> dict[str, Any]:
        """All settings as plain data, secrets redacted."""
        return _redacted(self)


def _redacted(model: BaseModel) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        extra = field.json_schema_extra
        if isinstance(value, BaseModel):
            result[name] = _redacted(value)
        elif value is not None and isinstance(extra, dict) and extra.get("secret"):
            result[name] = "[redacted]"
        else:
            result[name] = str(value) if isinstance(value, Path) else value
    return result
