"""The description of the service, and that clients and application keep to it."""

from __future__ import annotations

import inspect
from typing import Any

import httpx2
import pytest

from memoryscope_rag import AsyncMemoryScope
from memoryscope_rag.client import AsyncClient, Client
from memoryscope_rag.client.calls import (
    ForgetOptions,
    ListOptions,
    LogOptions,
    NoteOptions,
    RecordOptions,
    RetrieveOptions,
)
from memoryscope_rag.operations.chat import ChatOptions
from memoryscope_rag.service.problems import OPENAI
from tests.service.conftest import Service

HERE_ALONE = {"open", "start", "stop", "close", "check", "reembed", "generation"}
"""Methods of the application that concern the process or the store that it runs on."""


@pytest.fixture(scope="module")
def described(service: Service) -> dict[str, Any]:
    tree: dict[str, Any] = httpx2.get(f"{service.url}/openapi.json").json()
    return tree


def methods(of: type) -> set[str]:
    return {name for name, value in vars(of).items() if callable(value) and name[0] != "_"}


def fields(described: dict[str, Any], path: str) -> set[str]:
    body = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["$ref"].rpartition("/")[2]
    schema = described["components"]["schemas"][name]
    assert schema["additionalProperties"] is False
    return set(schema["properties"])


def test_every_method_of_the_application_is_a_path_and_in_both_clients(
    described: dict[str, Any],
) -> None:
    offered = methods(AsyncMemoryScope) - HERE_ALONE
    more = ("/v1/documents/", "/v1/service/")  # what the service has besides the application
    ours = {path for path in set(described["paths"]) - OPENAI if not path.startswith(more)}
    paths = {path.removeprefix("/v1/") for path in ours if path.startswith("/v1/")}
    assert paths == {name.rstrip("_") for name in offered} - {"record_each"}
    assert methods(AsyncClient) == methods(Client) == offered | {"close"}


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/v1/record", RecordOptions),
        ("/v1/add_note", NoteOptions),
        ("/v1/forget", ForgetOptions),
        ("/v1/list", ListOptions),
        ("/v1/messages", LogOptions),
        ("/v1/retrieve", RetrieveOptions),
        ("/v1/chat", ChatOptions),
    ],
)
def test_the_client_offers_what_the_service_takes(
    described: dict[str, Any], path: str, options: type
) -> None:
    besides = {"user_id", "agent_id", "query", "content"}
    if path == "/v1/chat":
        besides.add("session_id")
    offered: frozenset[str] = options.__optional_keys__  # type: ignore[attr-defined]
    assert offered == fields(described, path) - besides


@pytest.mark.parametrize("name", ["retrieve", "add_note", "update", "list", "messages", "forget"])
def test_the_service_takes_what_the_application_does(described: dict[str, Any], name: str) -> None:
    wanted = set(inspect.signature(getattr(AsyncMemoryScope, name)).parameters)
    assert wanted - {"self", "scope"} == fields(described, f"/v1/{name}") - {"user_id", "agent_id"}


def test_every_failure_is_described_as_a_problem(described: dict[str, Any]) -> None:
    for path, methods_ in described["paths"].items():
        for operation in methods_.values():
            for status in ("4XX", "5XX"):
                content = set(operation["responses"][status]["content"])
                own = {"application/json"} if path in OPENAI else set()
                assert content == {"application/problem+json"} | own
            assert "422" not in operation["responses"]
            secured = bool(operation.get("security"))
            assert secured == (path not in {"/health", "/ready"}), path
