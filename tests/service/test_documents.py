"""What docs/service.md tells people to type at a service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.conftest import Service

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_its_requests_by_curl_are_answered(service: Service) -> None:
    blocks = re.findall(r"^```sh\n(curl .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euc", block.replace("http://localhost:8765", service.url)],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"], "KEY": service.key("read", "write")},
        )
        assert done.returncode == 0, done.stderr
        assert "I moved to Lisbon in May" in done.stdout
        assert "urn:memoryscope-rag:" not in done.stdout
