"""The command line with a cluster: the commands of docs/elasticsearch.md, and what doctor says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from memoryscope_rag.cli.run import run
from memoryscope_rag.configs.model import ElasticsearchConfig
from tests.stores.elasticsearch.servers import Server

DOCUMENT = Path(__file__).parents[3] / "docs" / "elasticsearch.md"
SHOWN = "http://localhost:9200"


def commands() -> list[list[str]]:
    """Those that are shown with the address of a server."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("memoryscope-rag ")]


def test_the_commands_run(
    server: Server,
    config: ElasticsearchConfig,
    in_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MEMORYSCOPE_STORE__ELASTICSEARCH__PREFIX", config.prefix)
    monkeypatch.setenv("MEMORYSCOPE_STORE__ELASTICSEARCH__REPLICAS", "0")
    if config.username is not None:
        for name, value in (("USERNAME", config.username), ("PASSWORD", config.password)):
            monkeypatch.setenv(f"MEMORYSCOPE_STORE__ELASTICSEARCH__{name}", str(value))
    if config.ca_certs is not None:
        monkeypatch.setenv("MEMORYSCOPE_STORE__ELASTICSEARCH__CA_CERTS", str(config.ca_certs))
    said = []
    for arguments in commands():
        assert any(SHOWN in argument for argument in arguments)
        status = run([argument.replace(SHOWN, server.url) for argument in arguments])
        output = capsys.readouterr()
        assert status == 0, (arguments, output.out, output.err)
        said.append(output.out)
    assert "I moved to Lisbon in May" in said[1]
    assert re.search(r"^server\tok\tElasticsearch \d+\.\d+\.\d+, .*green$", said[2], re.M)
    assert re.search(r"^store\tok\t.*1 message, sound$", said[2], re.M)
    assert re.search(r"^outbox\tok\t.*, 0 messages wait$", said[2], re.M)


def test_doctor_tells_of_a_cluster_that_is_away(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMORYSCOPE_EMBEDDER__NAME", "none")
    assert run(["doctor", "--store", "http://127.0.0.1:9"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^server\tproblem\t.*no connection: .*127\.0\.0\.1:9", said, re.M)
    assert re.search(r"^outbox\tabsent\t", said, re.M)
    assert not list(in_tmp.iterdir())


def test_a_file_may_be_named_though_the_settings_name_a_cluster(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMORYSCOPE_EMBEDDER__NAME", "none")
    monkeypatch.setenv("MEMORYSCOPE_STORE__PATH", "http://127.0.0.1:9")
    assert run(["record", "hello", "--user", "ann", "--store", "x.db"]) == 0
    assert (in_tmp / "x.db").is_file()
    assert run(["demo", "--store", "http://127.0.0.1:9"]) != 0
    assert "name a file" in capsys.readouterr().err
