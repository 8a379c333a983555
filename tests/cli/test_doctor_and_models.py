"""doctor and models: what works here, what does not, and what to do about it."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

from memoryscope_rag.models.chat_presets import CHAT_PRESETS
from memoryscope_rag.models.presets import PRESETS
from tests.cli.conftest import Cli
from tests.interpreter import ROOT


def test_doctor_finds_a_working_machine(cli: Cli) -> None:
    outcome = cli("doctor", "--embedder", "all-minilm-l6-v2")
    findings = {row[0]: row[1:] for row in outcome.rows}
    for part in ("python", "sqlite", "onnxruntime", "faiss", "settings", "embedding"):
        assert findings[part][0] == "ok", findings[part]
    assert findings["model all-minilm-l6-v2"][0] == "ok"
    assert findings["model e5-small-v2"][0] == "absent"
    assert findings["model smollm2-135m-instruct"][0] in {"ok", "absent"}
    assert "models pull e5-small-v2" in findings["model e5-small-v2"][1]
    assert findings["store"][0] == "absent"


def test_doctor_knows_every_extra(cli: Cli) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    findings = {row[0]: row[1:] for row in cli("doctor").rows}
    told = {name.removeprefix("extra ") for name in findings if name.startswith("extra ")}
    assert told == set(declared["optional-dependencies"])
    for name in told:
        state, detail = findings[f"extra {name}"]
        assert state in {"ok", "absent"}
        assert (state == "absent") == detail.startswith(f"pip install 'memoryscope-rag[{name}]'")
    # a framework's two versions: one fits at most
    assert {findings[f"extra {name}"][0] for name in ("agentscope", "agentscope1")} != {"ok"}


def test_doctor_checks_the_store(cli: Cli, in_tmp: Path) -> None:
    cli("record", "hello", "--user", "ann")
    assert "1 message, sound" in cli("doctor").out
    data = bytearray((in_tmp / "memory.db").read_bytes())
    data[100:4000] = b"\xff" * 3900
    (in_tmp / "memory.db").write_bytes(data)
    for name in ("memory.db-wal", "memory.db-shm"):
        (in_tmp / name).unlink(missing_ok=True)
    tree = json.loads(cli("doctor", "--json", code=1).out)
    assert not tree["ok"]
    assert [f["part"] for f in tree["findings"] if f["state"] == "problem"] == ["store"]


def test_doctor_names_a_missing_model_and_wrong_settings(cli: Cli, in_tmp: Path) -> None:
    out = cli("doctor", "--embedder", "e5-small-v2", code=1).out
    assert "model e5-small-v2\tproblem" in out
    (in_tmp / "bad.yaml").write_text("stoer: {}\n", "utf-8")
    assert "did you mean 'store'" in cli("doctor", "--config", "bad.yaml", code=1).out


def test_doctor_says_that_a_store_is_of_another_model(cli: Cli) -> None:
    default = ("--embedder", "all-minilm-l6-v2")
    cli("record", "hello", "--user", "ann", *default)
    assert "sound" in cli("doctor", *default).out
    out = cli("doctor", "--embedder", "e5-small-v2", code=1).out
    assert "reembed" in out


def test_doctor_shows_no_secret(cli: Cli, in_tmp: Path) -> None:
    (in_tmp / "c.yaml").write_text("embedder: {hub_token: SECRET_VARIABLE}\n", "utf-8")
    out = cli("doctor", "--config", "c.yaml").out
    assert "SECRET_VARIABLE" not in out
    assert "[redacted]" in out


def test_models_list_knows_every_preset(cli: Cli) -> None:
    rows = cli("models", "list").rows
    assert [row[0] for row in rows] == [*PRESETS, *CHAT_PRESETS]
    assert all(len(row) == 5 and all(row) for row in rows)
    assert rows[0][3] == "here"
    tree = json.loads(cli("models", "list", "--json").out)
    assert [model["name"] for model in tree["models"]] == [*PRESETS, *CHAT_PRESETS]
    assert tree["models"][-1]["dimension"] is None


def test_models_pull_from_a_folder(cli: Cli, in_tmp: Path, models_dir: Path) -> None:
    shutil.copytree(models_dir / "bge-small-zh-v1.5", in_tmp / "source")
    (in_tmp / "c.yaml").write_text("embedder: {models_dir: pulled}\n", "utf-8")
    (in_tmp / "pulled").mkdir()
    options = ("--config", "c.yaml")
    out = cli("models", "pull", "bge-small-zh-v1.5", "--from", "source", *options).out
    assert Path(out.strip()).name == "bge-small-zh-v1.5"
    states = {row[0]: row[3] for row in cli("models", "list", *options).rows}
    assert states["bge-small-zh-v1.5"] == "here"


def test_models_pull_of_a_packaged_model_says_where_it_is(cli: Cli) -> None:
    out = cli("models", "pull", "all-minilm-l6-v2").out
    assert Path(out.strip()).is_dir()
