"""doctor: what works on this machine, what does not, and what to install for it."""

from __future__ import annotations

import json
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from memoryscope_rag.cli.extras import PACKAGE, extras
from memoryscope_rag.cli.output import counted, is_terminal, say, say_json, table
from memoryscope_rag.cli.run import NOTHING
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import MemoryScopeError, ModelCorrupt

if TYPE_CHECKING:
    from memoryscope_rag.configs.model import Config

OLDEST_SQLITE = (3, 35, 0)
"""The first with RETURNING."""
DEPENDENCIES = ("numpy", "pydantic", "tokenizers", "huggingface_hub", "snowballstemmer", "typer")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``absent`` is optional and not there; ``problem`` is wrong."""

    part: str
    state: Literal["ok", "absent", "problem"]
    detail: str


@with_settings(scope=False)
def doctor(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check Python, libraries, models, settings and the store; exit code 1 on a problem.

    Columns: part, state (ok, absent, problem), detail.
    """
    findings = [*_python(), *_libraries(), *_settings(settings)]
    problems = [finding for finding in findings if finding.state == "problem"]
    if as_json:
        say_json({"ok": not problems, "findings": [asdict(finding) for finding in findings]})
    else:
        table(("part", "state", "detail"), [(f.part, f.state, f.detail) for f in findings])
        if is_terminal():
            verdict = counted(len(problems), "problem") if problems else "all that is needed works"
            say(verdict, style="red" if problems else "green")
    if problems:
        raise typer.Exit(NOTHING)


def _python() -> Iterator[Finding]:
    yield Finding(PACKAGE, "ok", version(PACKAGE) if _installed(PACKAGE) else "not installed")
    here = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("python", "ok" if sys.version_info >= (3, 11) else "problem", here)
    enough = sqlite3.sqlite_version_info >= OLDEST_SQLITE
    wanted = ".".join(map(str, OLDEST_SQLITE))
    yield Finding(
        "sqlite",
        "ok" if enough else "problem",
        sqlite3.sqlite_version + ("" if enough else f"; {wanted} is needed, use a newer Python"),
    )


def _libraries() -> Iterator[Finding]:
    for name in DEPENDENCIES:
        there = _installed(name)
        detail = version(name) if there else f"pip install {name}"
        yield Finding(name, "ok" if there else "problem", detail)
    yield _tried("onnxruntime", _onnxruntime)
    yield _tried("faiss", _faiss)
    for extra in extras():
        if extra.wrong:
            detail = f"pip install '{PACKAGE}[{extra.name}]' for {', '.join(extra.wrong)}"
            yield Finding(f"extra {extra.name}", "absent", detail)
        else:
            yield Finding(f"extra {extra.name}", "ok", ", ".join(extra.found))


def _onnxruntime() -> str:
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    return f"{onnxruntime.__version__} with {providers}"


def _faiss() -> str:
    import faiss

    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return f"{faiss.__version__}, {gpus} GPUs"


def _tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return Finding(name, "problem", f"cannot be loaded: {error}; pip install {name}")


def _settings(settings: Settings) -> Iterator[Finding]:
    try:
        config = settings.config()
    except MemoryScopeError as error:
        yield Finding("settings", "problem", str(error))
        return
    yield Finding("settings", "ok", json.dumps(config.dump(), ensure_ascii=False))
    folder = config.embedder.models_dir
    if folder is None:
        yield Finding("models_dir", "ok", "not set")
    else:
        there = folder.is_dir()
        yield Finding(
            "models_dir",
            "ok" if there else "problem",
            f"{folder}{'' if there else ' is no folder'}",
        )
    yield from _models(config)
    yield _embedder(config)
    yield _background(config)
    if config.store.provider == "sqlite":
        there = config.store.path.is_file()
        yield _store(settings, config, there)
        yield _memory(settings, config, there)
        return
    server, known = _server(config)
    yield server
    if known is not None:
        yield _store(settings, config, known)
    yield _memory(settings, config, bool(known))
    yield _outbox(config)


def _models(config: Config) -> Iterator[Finding]:
    from memoryscope_rag.models.chat_presets import CHAT_PRESETS
    from memoryscope_rag.models.files import locate
    from memoryscope_rag.models.presets import PRESETS
    from memoryscope_rag.models.torch_folders import chat_model_state

    for name in PRESETS:
        try:
            files = locate(name, models_dir=config.embedder.models_dir)
        except ModelCorrupt as error:
            yield Finding(f"model {name}", "problem", str(error))
        except MemoryScopeError as error:
            wanted = name == config.embedder.name
            yield Finding(f"model {name}", "problem" if wanted else "absent", str(error))
        else:
            pinned = "pinned" if PRESETS[name].sha256 else "recorded"
            yield Finding(f"model {name}", "ok", f"{files.graph}, checksum as {pinned}")
    for chat in CHAT_PRESETS.values():
        state, detail = chat_model_state(chat, models_dir=config.embedder.models_dir)
        found: Literal["ok", "absent", "problem"] = (
            "ok" if state == "here" else "absent" if state == "absent" else "problem"
        )
        yield Finding(f"model {chat.name}", found, detail)


def _embedder(config: Config) -> Finding:
    """Whether the model in force embeds."""
    if config.embedder.name == "none":
        return Finding("embedding", "ok", "switched off: search is by words only")
    import asyncio

    from memoryscope_rag.build import build_embedder

    try:
        started = time.perf_counter()
        embedder = build_embedder(config)
        loaded = time.perf_counter()
        assert embedder is not None  # its name is not 'none'
        try:
            asyncio.run(embedder.embed(["Where does Ann live?"], "query"))
        finally:
            embedder.close()
        done = time.perf_counter()
    except MemoryScopeError as error:
        return Finding("embedding", "problem", str(error))
    spec = embedder.spec
    return Finding(
        "embedding",
        "ok",
        f"{spec.name}, {spec.dimension} dimensions, loaded in {(loaded - started) * 1e3:.0f} ms, "
        f"a first text in {(done - loaded) * 1e3:.0f} ms",
    )


def _background(config: Config) -> Finding:
    """Which process consolidates, once an application was started; see ``schedule.process``."""
    from memoryscope_rag.operations.job_process import reason_to_share

    reason = reason_to_share(config)
    where = "a process of its own" if reason is None else f"the application's process: {reason}"
    return Finding("background work", "ok", where)


def _server(config: Config) -> tuple[Finding, bool | None]:
    """What the cluster is, and whether it holds the store: ``None`` where that is not known."""
    import asyncio

    try:
        from memoryscope_rag.stores.elasticsearch.connection import look_at

        version, there = asyncio.run(look_at(config.store.elasticsearch))
    except MemoryScopeError as error:
        return Finding("server", "problem", str(error)), None
    parts = [f"Elasticsearch {version.number}, cluster {version.cluster}"]
    parts.append(version.health or "health not shown to this user")
    if not config.store.elasticsearch.verify:
        parts.append("its certificate is not checked")
    return Finding("server", "ok", ", ".join(parts)), there


def _store(settings: Settings, config: Config, there: bool) -> Finding:
    place = config.store.place
    if not there:
        return Finding("store", "absent", f"{place} is not there yet; the first record makes it")
    try:
        with settings.open(embedding=False) as memory:
            wrong = memory.check()
            counts = memory.stats()
    except MemoryScopeError as error:
        return Finding("store", "problem", str(error))
    if wrong:
        return Finding("store", "problem", "; ".join(wrong))
    spec = counts.embedder
    if spec is not None and config.embedder.name != "none" and spec.name != config.embedder.name:
        return Finding(
            "store",
            "problem",
            f"{place} holds vectors of {spec.name}, the settings name {config.embedder.name}: "
            f"set embedder.name, or switch with 'memoryscope-rag reembed'",
        )
    return Finding(
        "store",
        "ok",
        f"{place}, {counts.bytes} bytes, {counted(counts.messages, 'message')}, sound",
    )


def _memory(settings: Settings, config: Config, there: bool) -> Finding:
    """The beacon memory; its model is not opened."""
    from memoryscope_rag.models.torch_runtime import require_transformers

    if config.memory.model is None:
        return Finding("beacon memory", "absent", "switched off: memory.model names no model")
    try:
        require_transformers("the beacon memory")
        if not there:
            return Finding("beacon memory", "absent", f"{config.memory.model} has read nothing yet")
        with settings.open(embedding=False) as memory:
            counts = memory.stats().memory
    except (MemoryScopeError, ImportError) as error:
        return Finding("beacon memory", "problem", str(error))
    assert counts is not None  # what it takes is installed
    if counts.problem is not None:
        return Finding("beacon memory", "problem", counts.problem)
    return Finding(
        "beacon memory",
        "ok",
        f"{counts.model} in {config.memory_folder}: {counts.covered} messages, {counts.lag} not "
        f"read yet; {counts.tokens} tokens in {counts.bytes} bytes",
    )


def _outbox(config: Config) -> Finding:
    """What waits on this machine for the cluster; read without it."""
    from memoryscope_rag.stores.outbox_file import opened

    path = config.store.elasticsearch.outbox_path
    if path is None:
        return Finding("outbox", "absent", "switched off: what the cluster does not take is lost")
    try:
        with opened(path) as box:
            state = None if box is None else box.state()
    except MemoryScopeError as error:
        return Finding("outbox", "problem", str(error))
    if state is None:
        return Finding("outbox", "absent", f"{path} is not there yet; the first record makes it")
    since = f" since {state.oldest:%Y-%m-%d %H:%M} UTC" if state.oldest is not None else ""
    detail = f"{path}, {state.waiting} messages wait{since}"
    if not state.refused:
        return Finding("outbox", "ok", detail)
    return Finding(
        "outbox",
        "problem",
        f"{detail}, {state.refused} were refused: 'memoryscope-rag store outbox' tells why",
    )


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
