"""What schemathesis finds in the whole description: nothing."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
import pytest

from memoryscope_rag.testing.scripted_server import scripted_server
from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.service.conftest import UNLIMITED, Service, Start
from tests.service.test_chat import script

EXAMPLES = os.environ.get("MEMORYSCOPE_TEST_SERVICE_EXAMPLES", "5")
"""Of each operation, besides those that cover its limits."""
NOT_CHECKED = "positive_data_acceptance"
"""That what fits the schema is taken: ids are unknown, and of forget's three exactly one is."""
RUN = "from schemathesis.cli import schemathesis; schemathesis()"
FILES = {
    "harbour.txt": b"The harbour of Leith was built in 1806.\n\nIts keeper was Morag Sinclair.",
    "keeper.md": "# 灯塔\n\n守塔人叫莫拉格。".encode(),
    "empty.txt": b"",
    "broken.pdf": b"%PDF-1.4\nno page",
    "broken.docx": b"PK\x03\x04 no archive",
}
OFTEN: Mapping[str, list[str | int]] = {
    "user_id": ["ann"],
    "corpus": ["Library", "Letters"],
    "name": list(FILES),
    "content": [base64.b64encode(content).decode() for content in FILES.values()],
    "query": ["Who kept the harbour?"],
    "agent_id": ["default"],
    "max_tokens": [8],
}
"""What requests hold most of the time, so that they meet documents that are there."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis"
    ),
]


def explore(service: Service, *options: str) -> None:
    """Let schemathesis look for what is wrong with ``service``, and fail if it finds anything."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", RUN, "run", f"{service.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {service.root}"),
            *("--max-examples", EXAMPLES, "--seed", "1", "--no-color"),
            *("--checks", "all", "--exclude-checks", NOT_CHECKED),
            *("--generation-database", "none"),
            *options,
        ],
        capture_output=True,
        encoding="utf-8",
        cwd=service.folder,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_no_server_error_and_no_answer_against_the_schema(start: Start) -> None:
    with scripted_server(script) as server:
        model = {"provider": "vllm", "model": "served", "base_url": f"{server.url}/v1"}
        explore(start(generator=model | {"retries": 0}, service=UNLIMITED))


def test_nor_where_documents_are_read_and_asked(start: Start, tmp_path: Path) -> None:
    model = tiny_decoder(tmp_path / "tiny", context=4096, says="Leith Morag.")
    with scripted_server(script) as server:
        served = {"provider": "vllm", "model": "served", "base_url": f"{server.url}/v1"}
        service = start(
            embedder={"name": "all-minilm-l6-v2"},
            generator=served | {"retries": 0},
            memory={"model": str(model), "window": 64, "threads": 1, "ratio": 4},
            service=UNLIMITED,
        )
        (service.folder / "schemathesis.toml").write_text(steering(OFTEN), "utf-8")
        for corpus in ("Library", "Letters"):
            document = {
                "user_id": "ann",
                "corpus": corpus,
                "name": "harbour.txt",
                "content": base64.b64encode(FILES["harbour.txt"]).decode(),
            }
            added = httpx2.post(
                f"{service.url}/v1/documents/add",
                headers={"Authorization": f"Bearer {service.root}"},
                json=document,
                timeout=60,
            )
            assert "event: corpus" in added.text
        asked, whole = service.folder / "asked.har", service.folder / "whole.har"
        # no tenant and empty ones are sent above; here they would keep requests from documents
        tenant = ("--header", "X-Tenant-ID: default")
        only = "--include-path-regex"
        explore(  # what is there is removed below
            service,
            *(*tenant, only, "^/v1/documents/ask$", "--max-examples", "20"),
            *("--report-har-path", str(asked)),
        )
        explore(service, *tenant, only, "^/v1/documents/", "--report-har-path", str(whole))
    seen = [
        (entry["request"]["url"].rpartition("/")[2], entry["response"])
        for archive in (asked, whole)
        for entry in json.loads(archive.read_text("utf-8"))["log"]["entries"]
    ]
    for what, status in (("list", 200), ("ask", 200), ("remove", 204)):
        assert any(name == what and one["status"] == status for name, one in seen), what
    told = [one["content"].get("text", "") for name, one in seen if name == "add"]
    assert not any('"status": 5' in text for text in told)  # nor in the middle of a stream


def steering(often: Mapping[str, Sequence[str | int]]) -> str:
    """Settings of schemathesis with which fields of requests mostly hold these values."""
    lines = [f"[dictionaries.{name}]\nvalues = {json.dumps(often[name])}\n" for name in often]
    bound = [f'"body.{name}" = {{ dictionary = "{name}", probability = 0.9 }}' for name in often]
    return "\n".join([*lines, "[parameters]", *bound]) + "\n"
