"""The one place where a failure of Elasticsearch becomes an error of this package.

What a server gives as the reason may quote a document, so nothing of it gets into a message: only
what was being done, the HTTP status and the type of the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import ServerFingerprintMismatch
from elastic_transport import (
    ApiError,
    ConnectionTimeout,
    SerializationError,
    TlsError,
    TransportError,
)
from elasticsearch import UnsupportedProductError

from memoryscope_rag.errors import (
    InvalidInput,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)

_MAPPING = (
    StoreCorrupt,
    "the index does not have the mapping of its version; restore it from a snapshot, or choose "
    "another prefix",
)
_SHARD = (StoreUnavailable, "a shard of the index is not available (red)")
_BUSY = (StoreUnavailable, "the cluster is overloaded")
_KINDS: Mapping[str, tuple[type[StoreError], str]] = {
    "index_not_found_exception": (
        StoreCorrupt,
        "an index of the store is missing; it was deleted, or the prefix is another: restore a "
        "snapshot",
    ),
    "strict_dynamic_mapping_exception": _MAPPING,
    "mapper_parsing_exception": _MAPPING,
    "mapper_exception": _MAPPING,
    "document_parsing_exception": _MAPPING,
    "master_not_discovered_exception": (StoreUnavailable, "the cluster has no elected master"),
    "unavailable_shards_exception": _SHARD,
    "no_shard_available_action_exception": _SHARD,
    "es_rejected_execution_exception": _BUSY,
    "circuit_breaking_exception": _BUSY,
    "version_conflict_engine_exception": (StoreUnavailable, "another writer was first"),
    "search_context_missing_exception": (StoreUnavailable, "the reading took too long"),
    "media_type_header_exception": (
        StoreError,
        "the client speaks another major version than the server; install "
        "'elasticsearch[async]' of the server's major version",
    ),
}
_STATUS: Mapping[int, tuple[type[StoreError], str]] = {
    401: (
        StoreError,
        "the credentials were refused; check store.elasticsearch.api_key, or username and password",
    ),
    403: (
        StoreError,
        "the user or API key lacks a right; docs/elasticsearch.md lists those that are needed",
    ),
    406: _KINDS["media_type_header_exception"],
    408: (StoreUnavailable, "the cluster did not get ready in time"),
    409: _KINDS["version_conflict_engine_exception"],
    429: _BUSY,
}


def response_error(doing: str, status: int, error: Any) -> StoreError | InvalidInput:
    """The error for a failed response, or a failed item of ``_bulk`` or ``_msearch``.

    Args:
        doing: a gerund, such as ``"appending messages"``.
        status: the HTTP status of the response or the item.
        error: what the server put under ``error``: an object with a ``type``, or a string.
    """
    kinds = _kinds(error)
    known = next((_KINDS[kind] for kind in kinds if kind in _KINDS), None)
    if status == 413:
        return InvalidInput("content", "is larger than the cluster accepts in one request")
    if "cluster_block_exception" in kinds:
        known = _blocked(error)
    elif isinstance(error, Mapping) and "license.expired.feature" in error:
        known = (StoreError, "the cluster's licence does not cover it; GET _license shows it")
    elif known is None:
        known = _STATUS.get(status)
    if known is None and status >= 500:
        known = (StoreUnavailable, "the server failed")
    made, sentence = known or (StoreError, "the server refused the request")
    code = f"{status}, {kinds[0]}" if kinds else str(status)
    return made(f"Elasticsearch, {doing}: {sentence} ({code})")


@contextmanager
def elasticsearch_errors(doing: str) -> Iterator[None]:
    """Let no error of the client out of the block, only errors of this package.

    ``doing`` is a gerund, such as ``"searching"``. A write must carry ``require_alias=True``, or
    the server makes a deleted index anew instead of saying that it is missing.

    Raises:
        StoreUnavailable: a time-out, no connection, an overloaded, blocked or leaderless cluster,
            another writer: what may succeed the next time.
        StoreCorrupt: an index is missing or has another mapping.
        StoreError: refused credentials, missing rights, a wrong certificate, another server.
        InvalidInput: a document is too large.
    """
    try:
        yield
    except UnsupportedProductError:
        raise StoreError(
            f"Elasticsearch, {doing}: the server is no Elasticsearch; OpenSearch and others are "
            "not supported"
        ) from None
    except ApiError as error:
        body = error.body
        cause = body.get("error") if isinstance(body, Mapping) else None
        raise response_error(doing, error.meta.status, cause) from None
    except TransportError as error:
        raise _transport_error(doing, error) from None


def is_refused_certificate(error: BaseException) -> bool:
    """Whether the server is not who it should be: trying again would not help."""
    if isinstance(error, TlsError):
        return True
    # the transport empties the list of causes, but not this
    return isinstance(error.__context__, ServerFingerprintMismatch)


def _transport_error(doing: str, error: TransportError) -> StoreError:
    start = f"Elasticsearch, {doing}: "
    if isinstance(error, ConnectionTimeout):
        return StoreUnavailable(f"{start}no answer in time")
    if is_refused_certificate(error):
        return StoreError(f"{start}{_certificate(error)}")
    if isinstance(error, SerializationError):
        return StoreError(f"{start}the answer is no JSON; is the url that of Elasticsearch?")
    return StoreUnavailable(f"{start}no connection: {error.message}")


def _certificate(error: TransportError) -> str:
    text = str(error.message).lower()
    if not isinstance(error, TlsError):
        return "the server's certificate has another fingerprint than the settings"
    if "hostname mismatch" in text or "ip address mismatch" in text:
        return "the server's certificate is for another host than the url names"
    if "certificate" in text:
        return (
            "the server's certificate is not trusted; set store.elasticsearch.ca_certs or "
            "fingerprint"
        )
    return "TLS failed; does the server speak https?"


def _kinds(error: Any) -> tuple[str, ...]:
    """The types that the server names, the outermost first."""
    if not isinstance(error, Mapping):
        return ()
    inner = [*error.get("root_cause", ()), error.get("caused_by") or {}]
    names = [error.get("type"), *(cause.get("type") for cause in inner)]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _blocked(error: Mapping[str, Any]) -> tuple[type[StoreError], str]:
    reason = str(error.get("reason", ""))
    if "read-only-allow-delete" in reason:
        return (
            StoreUnavailable,
            "the index is read-only because a disk is above the flood-stage watermark; free space",
        )
    if "no master" in reason or "not recovered" in reason:
        return _KINDS["master_not_discovered_exception"]
    return StoreUnavailable, "the index is blocked by its settings; GET _settings shows the block"
