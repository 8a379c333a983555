"""A real service on loopback, with keys, and real clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.client import AsyncClient, Client
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.service.keys import RIGHTS, create_key
from memoryscope_rag.service.process import Running, running
from memoryscope_rag.service.state import StateFile, state_path

SETTINGS: Mapping[str, Any] = {"embedder": {"name": "none"}, "schedule": {"close_s": 0}}
UNLIMITED: Mapping[str, Any] = {"rate_per_s": 1e6, "burst": 1_000_000}
"""The section ``service`` of a service that is asked a lot."""


@dataclass
class Service:
    """A running service and what one needs to speak to it."""

    running: Running
    folder: Path
    keys: StateFile
    root: str = field(repr=False)
    """A key of every right, for every tenant."""

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return self.running.url

    def key(self, *rights: str, tenants: tuple[str, ...] = ("acme",)) -> str:
        """A new key."""
        return create_key(self.keys, "test", tenants=tenants, rights=rights or RIGHTS)[1]

    def client(self, *rights: str, tenants: tuple[str, ...] = ("acme",)) -> Client:
        """A client with a new key."""
        return Client(self.url, key=self.key(*rights, tenants=tenants))

    def async_client(self, *, tenants: tuple[str, ...] = ("acme",)) -> AsyncClient:
        """The same, for an event loop."""
        return AsyncClient(self.url, key=self.key(tenants=tenants))


Start = Callable[..., Service]


def start_in(folder: Path, stack: ExitStack) -> Start:
    """A function that starts services there, which end with the stack."""

    def start(*, workers: int = 1, **sections: Mapping[str, Any]) -> Service:
        here = folder / f"service{len(list(folder.iterdir()))}"
        here.mkdir()
        tree = {**SETTINGS, "store": {"path": str(here / "memory.db")}, **sections}
        keys = StateFile(state_path(parse_config(tree)))
        stack.callback(keys.close)
        root = create_key(keys, "root", tenants=["*"], rights=RIGHTS)[1]
        return Service(stack.enter_context(running(tree, here, workers=workers)), here, keys, root)

    return start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts services of this test alone."""
    with ExitStack() as stack:
        yield start_in(tmp_path, stack)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of a module; each takes a tenant or users of its own."""
    with ExitStack() as stack:
        yield start_in(tmp_path_factory.mktemp("services"), stack)()
