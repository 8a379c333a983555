"""The client of the cluster that the settings name, and whether that cluster will do."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any

from elastic_transport.client_utils import url_to_node_config
from elasticsearch import VERSION as CLIENT_VERSION
from elasticsearch import AsyncElasticsearch, AuthorizationException, UnsupportedProductError

from memoryscope_rag.configs.load import read_secret
from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import ConfigError, StoreError, StoreUnavailable
from memoryscope_rag.stores.elasticsearch.failures import elasticsearch_errors
from memoryscope_rag.stores.elasticsearch.node import Node
from memoryscope_rag.stores.elasticsearch.serializers import SERIALIZERS
from memoryscope_rag.stores.elasticsearch.transport import RetryingTransport

OLDEST_SERVER = (8, 19)
CONNECTIONS = 20
"""At most so many requests at once to one node; further ones wait, within their time-out."""
RECOVERY_SECONDS = 5
"""How long a cluster that is just starting may take to make the store's indices readable."""


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """Which server answered."""

    number: str
    cluster: str
    health: str | None
    """``green`` or ``yellow``; ``None`` where the API key may not ask for it."""


def connect(config: ElasticsearchConfig) -> AsyncElasticsearch:
    """A client for ``config``; nothing is sent yet. Must be closed in the loop that used it.

    Raises:
        ConfigError: no url, a variable that is not set, or a certificate file that cannot be read.
    """
    if not config.urls:
        raise ConfigError("setting 'store.elasticsearch.url': which cluster?")
    options: dict[str, Any] = {}
    if config.api_key is not None:
        options["api_key"] = read_secret(config.api_key)
    if config.username is not None:
        options["basic_auth"] = (config.username, read_secret(config.password))
    if any(url.startswith("https://") for url in config.urls):
        options["ssl_context"] = _tls(config)
        if config.fingerprint is not None:
            options["ssl_assert_fingerprint"] = config.fingerprint.replace(":", "").lower()
    return AsyncElasticsearch(
        [url_to_node_config(url, use_default_ports_for_scheme=True) for url in config.urls],
        node_class=Node,
        serializers=SERIALIZERS,
        transport_class=partial(RetryingTransport, deadline_s=config.deadline_s),  # type: ignore[arg-type]
        request_timeout=config.timeout_s,
        max_retries=config.retries,
        connections_per_node=CONNECTIONS,
        **options,
    )


async def check_server(client: AsyncElasticsearch, prefix: str | None = None) -> ServerVersion:
    """Ask the cluster who it is, and whether the indices that begin with ``prefix`` can be read.

    Raises:
        StoreError: it is no Elasticsearch, of a version that this client does not speak to, or it
            refuses the credentials or the certificate.
        StoreUnavailable: it does not answer, or one of the indices is red.
    """
    with elasticsearch_errors("connecting"):
        try:
            # a plain Accept header is understood by every version, so that each can say what it is
            answer = await client.perform_request("GET", "/", headers={"accept": "*/*"})
        except UnsupportedProductError as error:
            raise StoreError(_wrong_product(error.body)) from None
        greeting = answer.body
        number = str(greeting["version"]["number"])
        _check_version(number)
        health = await _health(client, prefix)
    return ServerVersion(number, str(greeting.get("cluster_name", "")), health)


async def look_at(config: ElasticsearchConfig) -> tuple[ServerVersion, bool]:
    """What :func:`check_server` finds, and whether the store is there; nothing is made.

    Raises ConfigError, and what :func:`check_server` raises.
    """
    client = connect(config)
    try:
        version = await check_server(client, config.prefix)
        with elasticsearch_errors("looking for the store"):
            found = await client.indices.exists_alias(name=f"{config.prefix}-nodes")
    finally:
        await client.close()
    return version, bool(found)


async def _health(client: AsyncElasticsearch, prefix: str | None) -> str | None:
    try:
        answer = await client.options(ignore_status=408).cluster.health(
            index=f"{prefix}-*" if prefix else None,
            wait_for_status="yellow",
            timeout=f"{RECOVERY_SECONDS}s",
        )
    except AuthorizationException:
        return None
    status = str(answer.body["status"])
    if status == "red":
        raise StoreUnavailable(
            f"Elasticsearch, connecting: {answer.body['unassigned_shards']} shards are not "
            "assigned to a node (red); GET _cluster/allocation/explain says why"
        )
    return status


def _check_version(number: str) -> None:
    client = ".".join(map(str, CLIENT_VERSION[:3]))
    major, minor = (int(part) for part in number.split(".")[:2])
    if (major, minor) < OLDEST_SERVER:
        wanted = ".".join(map(str, OLDEST_SERVER))
        raise StoreError(f"the server is Elasticsearch {number}; {wanted} or later is needed")
    if major < CLIENT_VERSION[0] or major > CLIENT_VERSION[0] + 1:
        raise StoreError(
            f"the server is Elasticsearch {number}, which the client {client} does not speak to: "
            f"pip install 'elasticsearch[async]>={major},<{major + 1}'"
        )


def _wrong_product(body: Any) -> str:
    version = body.get("version") if isinstance(body, dict) else None
    if isinstance(version, dict) and version.get("distribution") == "opensearch":
        return (
            "the server is OpenSearch, not Elasticsearch; docs/elasticsearch.md says what its "
            "users can do"
        )
    return "what answers is not Elasticsearch; is the url right?"


def _tls(config: ElasticsearchConfig) -> ssl.SSLContext:
    """The client checks no name where the host is an address, so it gets a context that does."""
    ca_certs = config.ca_certs
    try:
        context = ssl.create_default_context(cafile=ca_certs)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"setting 'store.elasticsearch.ca_certs': {ca_certs} cannot be read as PEM "
            f"({type(error).__name__})"
        ) from None
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
