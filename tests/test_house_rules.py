"""Rules that hold for the whole repository: surface, links, documentation, imports, extension."""

from __future__ import annotations

import ast
import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from pydantic import BaseModel

import memoryscope_rag
from memoryscope_rag import Config, MemoryScope
from memoryscope_rag.cli.commands import app
from memoryscope_rag.cli.run import run
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.errors import ConfigError
from memoryscope_rag.operations.base import installed_workers
from memoryscope_rag.testing.fakes import HashEmbedder
from memoryscope_rag.workers.backend import BACKEND
from memoryscope_rag.workers.frontend import FRONTEND
from tests.interpreter import ROOT, modules_after

PACKAGE = ROOT / "memoryscope_rag"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


# ---------------------------------------------------------------- surface and imports


def test_the_public_surface_is_pinned() -> None:
    assert sorted(memoryscope_rag.__all__) == [
        "AsyncMemoryScope",
        "Config",
        "Evidence",
        "EvidenceItem",
        "Interval",
        "InvalidInput",
        "MemoryNode",
        "MemoryScope",
        "MemoryScopeError",
        "Message",
        "NewMessage",
        "Scope",
        "load_config",
    ]
    for name in memoryscope_rag.__all__:
        assert getattr(memoryscope_rag, name).__name__ == name
        assert name in dir(memoryscope_rag)
    with pytest.raises(AttributeError, match="MemoryScopes"):
        memoryscope_rag.MemoryScopes  # noqa: B018


@pytest.mark.parametrize("module", ["memoryscope_rag", "memoryscope_rag.cli"])
def test_importing_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    loaded = modules_after(f"import {module}", tmp_path)
    heavy = {"torch", "onnxruntime", "faiss", "typer", "rich", "transformers", "huggingface_hub"}
    heavy |= {"prompt_toolkit"}
    network = {"httpx", "httpx2", "requests", "urllib3", "aiohttp", "http.client"}
    assert not loaded & (heavy | network | {"numpy", "pydantic", "logging.config"})


def test_opening_a_memory_loads_no_torch_and_no_command_line(tmp_path: Path) -> None:
    code = (
        "from memoryscope_rag import MemoryScope;"
        "m = MemoryScope.open('memory.db'); m.record('x', scope='a');"
        "m.retrieve('x', scope='a'); m.close()"
    )
    loaded = modules_after(code, tmp_path)
    assert not loaded & {"torch", "typer", "rich", "transformers", "click", "prompt_toolkit"}


@pytest.mark.parametrize("name", ["workers", "operations", "configs"])
def test_the_links_at_the_top_point_inward_and_cannot_be_imported(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink() == Path("memoryscope_rag") / name
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode != 0
    assert f"import memoryscope_rag.{name}, not {name}" in done.stderr


LINT = "from importlinter.cli import lint_imports_command as command; command()"


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
        timeout=120,
        env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


# ---------------------------------------------------------------- code


def test_nothing_unpickles_or_evaluates() -> None:
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    for name, tree in sources():
        for node in ast.walk(tree):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            assert not names & banned, name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, name


def test_every_module_says_what_it_is_for() -> None:
    for name, tree in sources():
        assert ast.get_docstring(tree) or not tree.body, f"{name} has no docstring"
        assert "utils" not in Path(name).stem


def test_only_the_settings_read_the_environment() -> None:
    for name, tree in sources():
        if name.endswith(("configs/load.py",)):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = (node.value.id, node.attr)
                assert used not in {("os", "environ"), ("os", "getenv")}, name


@pytest.mark.parametrize("what", ["models", "elasticsearch"])
def test_one_file_alone_knows_where_what_is_shared_lies(what: str) -> None:
    folder = f"shared/{what}"
    tracked = [
        path
        for pattern in ("*", ".ci/*", "docs/*", "examples/*", "memoryscope_rag/**/*", "tests/**/*")
        for path in ROOT.glob(pattern)
        if path.is_file() and path.suffix not in {".onnx", ".db", ".pyc"}
    ]
    named = [path.name for path in tracked if folder.encode() in path.read_bytes()]
    assert named == ["run"]


# ---------------------------------------------------------------- documentation


def _blocks(name: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", text(name), re.MULTILINE | re.DOTALL)
    return [str(block) for block in found]


@pytest.mark.parametrize("name", [n for n in DOCUMENTS if _blocks(n, "python")])
def test_the_python_of_the_documents_runs(
    name: str, in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scope: dict[str, Any] = {"__name__": "document"}
    for number, block in enumerate(_blocks(name, "python"), 1):
        exec(compile(block, f"{name}, block {number}", "exec"), scope)
    # readers would see these among what the block prints
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in told if record.name.startswith("memoryscope_rag")]


SLOW = {"chat", "demo"}
"""Commands of documents that other tests run; here only their options are read."""


@pytest.mark.parametrize("name", [n for n in DOCUMENTS if _blocks(n, "console")])
def test_the_commands_of_the_documents_run(name: str, in_tmp: Path) -> None:
    (in_tmp / "chat.json").write_text('[{"role": "user", "content": "hi"}]', "utf-8")
    with MemoryScope.open("memory.db") as memory:
        memory.record("I moved to Lisbon", scope="ann", session_id="default")
    for block in _blocks(name, "console"):
        for line in block.splitlines():
            if not line.startswith("$ "):
                continue
            program, *arguments = shlex.split(line[2:])
            assert program == "memoryscope-rag", line
            if arguments[0] in SLOW:
                arguments = [*arguments, "--help"]
            assert run(arguments) in ((0, 1) if arguments[0] == "retrieve" else (0,)), line


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _commands(one, (*path, name))


def test_every_command_and_option_is_described() -> None:
    described = text("docs/cli.md")
    shared = {
        "--store",
        "--config",
        "--time-zone",
        "--embedder",
        "--models",
        "--user",
        "--agent",
        "--tenant",
    }
    assert all(f"`{option}" in described for option in shared)
    for path, command in _commands(typer.main.get_command(app)):
        name = " ".join(path)
        if path[0] == "bench":
            section = described.partition("\n## bench\n")[2]
            assert f"| `{name}` |" in section
        else:
            heading = f"\n## {name}\n"
            assert heading in described, f"docs/cli.md does not describe {name}"
            section = described.partition(heading)[2].partition("\n## ")[0]
        assert command.help, f"{name} has no help"
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option not in shared | {"--help"}:
                    assert f"{option}" in section, f"docs/cli.md: {name} lacks {option}"


def test_every_worker_is_described_with_its_fields() -> None:
    described = text("docs/workers.md")
    for name, worker in {**FRONTEND, **BACKEND}.items():
        heading = f"\n### {name}\n"
        assert heading in described
        section = described.partition(heading)[2].partition("\n##")[0]
        for label, fields in (
            ("Reads", worker.reads),
            ("uses", worker.uses),
            ("gives", worker.gives),
        ):
            if fields:
                listed = re.search(rf"{label} ((?:`\w+`,?\s*)+)", section)
                assert listed is not None, f"docs/workers.md: {name} lacks '{label}'"
                assert set(re.findall(r"`(\w+)`", listed[1])) == fields, (name, label)
        for parameter, field in worker.Params.model_fields.items():
            assert f"`{parameter}` ({field.default})" in section, (name, parameter)
        assert ("*Optional*" in section) == worker.optional
    stages = yaml.safe_load(packaged_text("operations", "retrieve.yaml"))["stages"]
    assert yaml.safe_load(_blocks("docs/workers.md", "yaml")[0])["stages"] == stages


def test_the_operation_of_the_documents_can_be_built(in_tmp: Path) -> None:
    (in_tmp / "own.yaml").write_text(_blocks("docs/workers.md", "yaml")[1], "utf-8")
    (in_tmp / "settings.yaml").write_text("retrieval: {operation: own.yaml}", "utf-8")
    config = memoryscope_rag.load_config("settings.yaml")
    with MemoryScope.open(config=config, embedder=HashEmbedder()) as memory:
        memory.record("I moved to Lisbon", scope="ann")
        assert memory.retrieve("Lisbon", scope="ann", floor=False).items


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.default


def test_every_setting_is_described_with_its_default() -> None:
    described = dict(
        re.findall(r"^\| `([\w.]+)` \| (\S+) \|", text("docs/configuration.md"), re.MULTILINE)
    )
    wanted = {}
    for key, value in _keys(Config):
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        wanted[key] = "none" if value is None else f"`{shown}`"
    assert {key: described[key] for key in described if "MEMORYSCOPE" not in key} == wanted


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_the_documents_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", text(name)):
        if not target.startswith(("http://", "https://")):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"


# ---------------------------------------------------------------- extension

WORKER = """
from dataclasses import replace
from memoryscope_rag.workers.base import NoParams, Worker


class Loud(Worker):
    name = "loud"
    reads = frozenset({"result"})
    gives = frozenset({"result"})

    class Params(NoParams):
        mark: str = "!"

    async def run(self, state):
        text = state.result.text.upper() + self.params.mark
        return replace(state, result=replace(state.result, text=text))


class NoWorker:
    pass
"""


@pytest.fixture
def other_package(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package installed as a wheel would be; returns the file of its entry points."""
    site = in_tmp / "site"
    info = site / "loud_workers-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "loud_workers.py").write_text(WORKER, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-workers\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "loud_workers", raising=False)
    entries = info / "entry_points.txt"
    entries.write_text("[memoryscope_rag.workers]\nloud = loud_workers:Loud\n", "utf-8")
    return entries


def test_j3_a_worker_of_another_package_runs(other_package: Path, in_tmp: Path) -> None:
    stages = yaml.safe_load(packaged_text("operations", "retrieve.yaml"))["stages"]
    stages.append({"loud": {"mark": "!!"}})
    (in_tmp / "loud.yaml").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    config = memoryscope_rag.load_config(overrides={"retrieval": {"operation": "loud.yaml"}})
    with MemoryScope.open("memory.db", config=config, embedder=HashEmbedder()) as memory:
        memory.record("I moved to Lisbon", scope="ann")
        assert memory.retrieve("Lisbon", scope="ann", floor=False).text.endswith("LISBON!!")


def test_j3_an_entry_point_that_is_no_worker_is_refused(other_package: Path) -> None:
    group = "[memoryscope_rag.workers]\n"
    other_package.write_text(f"{group}loud = loud_workers:NoWorker\n", "utf-8")
    with pytest.raises(ConfigError, match=r"'loud'.*no Worker"):
        installed_workers()


def test_two_packages_cannot_offer_one_worker(other_package: Path) -> None:
    other = other_package.parents[1] / "louder-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: louder\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text(other_package.read_text("utf-8"), "utf-8")
    with pytest.raises(ConfigError, match="two installed packages offer a worker named 'loud'"):
        installed_workers()
