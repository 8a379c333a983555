"""serve and keys at the command line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memoryscope_rag.service.access import is_loopback
from tests.cli.conftest import Cli, cli

__all__ = ["cli"]


def test_keys_are_made_listed_and_revoked(cli: Cli) -> None:
    made = cli("keys", "create", "--name", "bot", "--tenant", "acme", "--right", "read")
    key = made.out.strip()
    prefix, identity, secret = key.split("_", 2)
    assert prefix == "msk"
    assert len(secret) >= 43
    assert f"key {identity} may read for acme" in made.err
    (row,) = cli("keys", "list").rows
    assert row[:4] == [identity, "bot", "acme", "read"]
    assert row[5] == ""
    cli("keys", "revoke", identity)
    listed = json.loads(cli("keys", "list", "--json").out)
    assert listed["revoked_at"] is not None
    assert secret not in json.dumps(listed)


def test_keys_have_a_tenant_and_rights_unless_they_are_named(cli: Cli) -> None:
    made = cli("keys", "create", "--name", "bot")
    assert "may read, write for default" in made.err


def test_wrong_keys_are_refused(cli: Cli) -> None:
    assert "known: admin" in cli("keys", "create", "--name", "b", "--right", "reed", code=2).err
    assert "no key 'nobody'" in cli("keys", "revoke", "nobody", code=2).err


def test_without_keys_only_this_machine_is_served(cli: Cli) -> None:
    assert not is_loopback("0.0.0.0")
    refused = cli("serve", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "keys create" in refused.err


def test_a_port_that_is_taken_is_named(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cli("serve", "--port", str(port), code=3)
    assert f"port {port}" in refused.err


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_keeps_the_service_from_starting_is_its_last_line(
    cli: Cli, in_tmp: Path, workers: int
) -> None:
    (in_tmp / "memory.db").write_bytes(b"no database at all" * 100)
    elsewhere = cli("stats", code=3).err
    _stopped_with(elsewhere, 3, "--workers", str(workers), without="memory.db")


def test_a_model_that_is_not_here_is_named_as_elsewhere(cli: Cli) -> None:
    elsewhere = cli("record", "a", "--user", "ann", "--embedder", "e5-small-v2", code=4).err
    assert "models pull e5-small-v2" in elsewhere
    _stopped_with(elsewhere, 4, "--embedder", "e5-small-v2", without="e5-small-v2")


def _stopped_with(sentence: str, code: int, *options: str, without: str) -> None:
    """``serve`` ends with this sentence and code; nothing before it is a traceback, or has that."""
    done = subprocess.run(
        [sys.executable, "-m", "memoryscope_rag.cli", "serve", "--port", "0", *options],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    *before, last = done.stderr.splitlines()
    assert last == sentence.strip()
    assert done.returncode == code
    log = "\n".join(line for line in before if line.startswith("{"))
    assert "not started: " in log
    assert "Traceback" not in done.stderr
    assert without not in log
