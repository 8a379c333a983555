"""The settings, one strict tree: unknown keys and wrong types are errors, not surprises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
# strict mode would refuse the strings that YAML and the environment can only give
FilePath = Annotated[Path, Field(strict=False)]


class StoreConfig(_Strict):
    """Where memory is kept."""

    path: FilePath = Field(Path("memory.db"), description="the SQLite file")
    cache_mb: int = Field(1024, ge=16, description="memory for search indices, MiB")
    faiss_threshold: int = Field(
        200_000, ge=1000, description="nodes in a scope above which FAISS proposes candidates"
    )


class EmbedderConfig(_Strict):
    """Which model turns text into vectors."""

    name: str = Field(
        "all-minilm-l6-v2", description="a preset, a folder with an ONNX export, or 'none'"
    )
    models_dir: FilePath | None = Field(None, description="folder of models; MEMORYSCOPE_MODELS")
    threads: int = Field(0, ge=0, description="threads of the model; 0 is one a core")
    pooling: Literal["mean", "cls"] | None = Field(None, description="for a model by path")
    query_prefix: str | None = Field(None, description="for a model by path")
    document_prefix: str | None = Field(None, description="for a model by path")
    max_tokens: int = Field(512, ge=8, description="for a model by path")
    cache_queries: int = Field(4096, ge=0, description="embedded texts kept in memory")
    hub_token: SecretName | None = Field(
        None, description="variable with the model hub's token", json_schema_extra={"secret": True}
    )


class RetrievalConfig(_Strict):
    """How evidence is found."""

    operation: FilePath | None = Field(None, description="YAML of another operation")
    ranker: FilePath | None = Field(None, description="weights made by 'bench fit'")
    limit: int = Field(10, ge=1, le=1000, description="items returned at most")
    budget_tokens: int = Field(1500, ge=0, description="tokens of packed evidence at most")
    budget_ms: float | None = Field(None, gt=0, description="deadline of a retrieval, ms")
    floor: bool = Field(True, description="return nothing when nothing fits the query")


class Config(_Strict):
    """All settings."""

    store: StoreConfig = StoreConfig()
    embedder: EmbedderConfig = EmbedderConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    time_zone: TimeZone = Field("UTC", description="zone that 'yesterday' is meant in")

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
