"""What schemathesis finds in the whole description: nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from memoryscope_rag.testing.scripted_server import scripted_server
from tests.service.conftest import Start
from tests.service.test_chat import script

EXAMPLES = os.environ.get("MEMORYSCOPE_TEST_SERVICE_EXAMPLES", "5")
"""Of each operation, besides those that cover its limits."""
NOT_CHECKED = "positive_data_acceptance"
"""That what fits the schema is taken: ids are unknown, and of forget's three exactly one is."""
RUN = "from schemathesis.cli import schemathesis; schemathesis()"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis")
def test_no_server_error_and_no_answer_against_the_schema(start: Start) -> None:
    with scripted_server(script) as server:
        model = {"provider": "vllm", "model": "served", "base_url": f"{server.url}/v1"}
        service = start(
            generator=model | {"retries": 0}, service={"rate_per_s": 1e6, "burst": 1_000_000}
        )
        done = subprocess.run(
            [
                *(sys.executable, "-c", RUN, "run", f"{service.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {service.root}"),
                *("--max-examples", EXAMPLES, "--seed", "1", "--no-color"),
                *("--checks", "all", "--exclude-checks", NOT_CHECKED),
                *("--generation-database", "none"),
            ],
            capture_output=True,
            encoding="utf-8",
            cwd=service.folder,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
