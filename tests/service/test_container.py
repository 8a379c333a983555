"""The image and the compose file's service: what they promise, and that their settings are ours."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from memoryscope_rag import load_config
from memoryscope_rag.cli.commands import app
from tests.interpreter import ROOT, modules_after

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return re.findall(rf"^\s*{name} (.*)$", joined, re.MULTILINE)


def service() -> dict[str, Any]:
    tree = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    assert "service" in tree["volumes"]
    return dict(tree["services"]["service"])


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    bases = {line.partition(" ")[0] for line in instructions("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.13\.\d+-slim-\w+", bases.pop())
    assert instructions("USER") == ["memory"]
    assert instructions("VOLUME") == instructions("WORKDIR")[-1:] == ["/data"]
    assert "/health" in instructions("HEALTHCHECK")[0]


def test_the_image_installs_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = re.search(r"'\.\[([\w,-]+)\]'", DOCKERFILE)
    assert extras is not None
    wanted = set(extras[1].split(","))
    assert wanted <= set(project["optional-dependencies"])
    assert {"service", "elasticsearch"} <= wanted


def test_the_image_holds_what_its_ignore_file_lets_through_and_no_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        part
        for line in instructions("COPY")
        if not line.startswith("--from")
        for part in shlex.split(line)[:-1]
    }
    assert "*" in ignored
    assert copied == let
    assert all((ROOT / name).exists() for name in copied)
    assert not instructions("ARG")
    assert not re.search(r"(?i)(password|secret|api_key)\s*=", DOCKERFILE)


def test_what_the_image_runs_is_a_command_of_ours() -> None:
    assert instructions("ENTRYPOINT") == ['["memoryscope-rag"]']
    told = yaml.safe_load(instructions("CMD")[-1])
    command = typer.main.get_command(app).commands[told[0]]  # type: ignore[attr-defined]
    with command.make_context("serve", told[1:], resilient_parsing=True) as context:
        assert context.params["host"] == "0.0.0.0"
        (port,) = instructions("EXPOSE")
        assert context.params["port"] == int(port)


def test_the_service_waits_for_its_database_and_is_this_machines_own() -> None:
    told = service()
    assert told["profiles"] == ["service"]  # the database alone is what comes without
    assert told["depends_on"] == {"elasticsearch": {"condition": "service_healthy"}}
    assert told["ports"] == [f"127.0.0.1:{port}:{port}" for port in instructions("EXPOSE")]
    assert told["volumes"] == ["service:/data"]
    assert told["environment"]["ELASTIC_PASSWORD"].startswith("${ELASTIC_PASSWORD:?")


def test_the_settings_of_the_service_are_understood(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in service()["environment"].items():
        assert isinstance(value, str), name
        monkeypatch.setenv(name, value)
    store = load_config().store
    assert store.provider == "elasticsearch"
    assert store.elasticsearch.url == "http://elasticsearch:9200"
    assert store.elasticsearch.password == "ELASTIC_PASSWORD"
    assert store.elasticsearch.replicas == 0
    assert store.elasticsearch.outbox_path is not None
    assert not store.elasticsearch.outbox_path.is_absolute()  # in the volume


def test_the_application_needs_no_model_runtime(in_tmp: Path) -> None:
    # the image has none: what needs one is imported when it is asked for
    loaded = modules_after("import memoryscope_rag.service.application", in_tmp)
    assert not loaded & {"torch", "transformers", "accelerate"}
