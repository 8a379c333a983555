"""Rows J1 to J5: settings and where they come from, steps of one's own, prompts of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from memoryscope_rag import Config, MemoryScope, load_config
from memoryscope_rag.cli.run import run
from memoryscope_rag.configs.load import packaged_text, parse_config
from memoryscope_rag.errors import ConfigError
from memoryscope_rag.workers.prompts import Prompts
from tests.operations.consolidating import reading

# ---------------------------------------------------------------- J1: settings

LEVELS = ("default", "file", "environment", "code")
VALUES: dict[str, tuple[Any, ...]] = {
    "retrieval.limit": (10, 3, 4, 5),
    "retrieval.floor": (True, False, True, False),
    "retrieval.budget_ms": (None, 1.5, 2.5, 3.5),
    "time_zone": ("UTC", "Asia/Tokyo", "Europe/Berlin", "America/Lima"),
    "embedder.name": ("all-minilm-l6-v2", "none", "e5-small-v2", "bge-small-zh-v1.5"),
    "store.path": (Path("memory.db"), "file.db", "env.db", "code.db"),
}
"""By setting, what each level says."""


def tree(key: str, value: Any) -> dict[str, Any]:
    """``{"retrieval": {"limit": 3}}`` for ``retrieval.limit``."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def at(config: Config, key: str) -> Any:
    """The value of a setting."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("key", VALUES)
@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize(("lower", "higher"), [*combinations(range(4), 2)])
def test_j1_the_higher_of_two_levels_wins(
    key: str, suffix: str, lower: int, higher: int, tmp_path: Path
) -> None:
    values = VALUES[key]
    file: Path | None = None
    environ: dict[str, str] = {}
    code: dict[str, Any] = {}
    for level in (lower, higher):
        if LEVELS[level] == "file":
            file = tmp_path / f"settings.{suffix}"
            dump = json.dumps if suffix == "json" else yaml.safe_dump
            file.write_text(dump(tree(key, values[level])), "utf-8")
        elif LEVELS[level] == "environment":
            environ[f"MEMORYSCOPE_{key.upper().replace('.', '__')}"] = str(values[level]).lower()
            if isinstance(values[level], str):
                environ = dict.fromkeys(environ, values[level])
        elif LEVELS[level] == "code":
            code = tree(key, values[level])
    wanted = Path(values[higher]) if key == "store.path" else values[higher]
    assert at(load_config(file, code, environ=environ), key) == wanted


def test_j1_an_option_of_the_command_line_wins_over_all(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_tmp / "s.yaml").write_text("{store: {path: file.db}, embedder: {name: none}}", "utf-8")
    monkeypatch.setenv("MEMORYSCOPE_CONFIG", "s.yaml")
    say = ["record", "hello", "--user", "ann"]
    for made, more in (("file.db", []), ("env.db", []), ("option.db", ["--store", "option.db"])):
        if made == "env.db":
            monkeypatch.setenv("MEMORYSCOPE_STORE__PATH", "env.db")
        assert run([*say, *more]) == 0
        assert (in_tmp / made).is_file()
    capsys.readouterr()


def test_j1_a_key_is_neither_in_a_dump_nor_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEY", "sk-canary")
    generator = {"provider": "vllm", "model": "m", "api_key": "OUR_KEY"}
    config = parse_config({"generator": generator})
    for shown in (str(config.dump()), repr(config)):
        assert "sk-canary" not in shown
    assert config.dump()["generator"]["api_key"] == "[redacted]"
    with pytest.raises(ConfigError) as caught:
        parse_config({"generator": {**generator, "api_key": "sk-canary"}})
    assert "sk-canary" not in str(caught.value)


# ---------------------------------------------------------------- J2, J3: steps

STEPS = """
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import Field

from memoryscope_rag.schema import Interval
from memoryscope_rag.temporal import find_times
from memoryscope_rag.workers.base import NoParams, Worker


class AlwaysMay(Worker):
    name = "always_may"
    reads = frozenset({"now"})
    gives = frozenset({"times"})

    async def run(self, state):
        return replace(state, times=tuple(find_times("in May 2026", reference=state.now)))


class Stamp(Worker):
    name = "stamp"
    reads = frozenset({"facts"})
    gives = frozenset({"facts"})

    class Params(NoParams):
        mark: str = "!"

    async def run(self, state):
        mark = self.params.mark
        return replace(state, facts=tuple(replace(f, keywords=(mark,)) for f in state.facts))
"""


@pytest.fixture
def other_package(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution with two workers, as an installer would leave it."""
    site = in_tmp / "site"
    info = site / "our_steps-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "our_steps.py").write_text(STEPS, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[memoryscope_rag.workers]\nalways_may = our_steps:AlwaysMay\nstamp = our_steps:Stamp\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "our_steps", raising=False)


def stages(name: str) -> list[Any]:
    """Those of a packaged operation."""
    found: list[Any] = yaml.safe_load(packaged_text("operations", f"{name}.yaml"))["stages"]
    return found


def settings(**operations: Any) -> Config:
    """Settings whose operations are these stages, written to files in the working folder."""
    overrides: dict[str, dict[str, Any]] = {"embedder": {"name": "none"}}
    for section, steps in operations.items():
        path = Path(f"{section}.yaml").absolute()
        path.write_text(yaml.safe_dump({"stages": steps}), "utf-8")
        overrides[section] = {"operation": path}
    return load_config(overrides=overrides)


def test_j2_a_parameter_in_the_file_reaches_its_step(in_tmp: Path) -> None:
    def found(most: int) -> int:
        steps = stages("retrieve")
        steps[steps.index("retrieve_candidates")] = {"retrieve_candidates": {"evidence": most}}
        config = settings(retrieval=steps)
        with MemoryScope.open(in_tmp / "memory.db", config=config) as memory:
            return len(memory.retrieve("cello", scope="ann", limit=100, floor=False))

    with MemoryScope.open(in_tmp / "memory.db", config=settings()) as memory:
        for number in range(20):
            memory.record(f"the cello of number {number}", scope="ann", session_id=f"s{number}")
        memory.flush()
        kinds = {node.kind for node in memory.list(scope="ann").items}
    assert kinds == {"conversation"}
    assert [found(most) for most in (1, 5, 20)] == [1, 5, 20]


def test_j2_a_parameter_changes_how_often_a_model_is_asked(in_tmp: Path) -> None:
    def calls(tokens: int) -> int:
        steps = stages("consolidate")
        steps[0] = {"info_filter": {"call_tokens": tokens}}
        steps[1] = {"extract_observations": {"call_tokens": tokens}}
        model = reading()
        with MemoryScope.open(
            in_tmp / f"{tokens}.db", config=settings(consolidation=steps), generator=model
        ) as memory:
            memory.record("I have a cat. " * 200, scope="ann", speaker="Ann")
            return memory.consolidate(scope="ann").calls

    assert calls(200) > calls(10_000)


@pytest.mark.usefixtures("other_package")
def test_j3_steps_of_another_package_run_in_line_and_side_by_side(in_tmp: Path) -> None:
    retrieve, consolidate = stages("retrieve"), stages("consolidate_by_rules")
    retrieve[0] = ["set_query", "read_message", "always_may"]  # side by side
    consolidate.insert(1, {"stamp": {"mark": "ours"}})  # in line, with a parameter
    config = settings(retrieval=retrieve, consolidation=consolidate)
    with MemoryScope.open(in_tmp / "memory.db", config=config) as memory:
        memory.record("I moved to Lisbon.", scope="ann", speaker="Ann")
        memory.consolidate(scope="ann")
        evidence = memory.retrieve("Lisbon", scope="ann", floor=False)
        (fact,) = memory.list(scope="ann", kinds=["observation"]).items
    assert {"always_may", "set_query"} <= set(evidence.timings)
    assert [str(interval.start)[:7] for interval in evidence.intervals] == ["2026-05"]
    assert fact.metadata["keywords"] == "ours"


@pytest.mark.usefixtures("other_package")
def test_j3_what_cannot_work_is_refused_when_it_is_loaded(in_tmp: Path) -> None:
    circle = ["set_query", "fuse_rerank", "retrieve_candidates", "pack_evidence"]
    with pytest.raises(ConfigError, match="reads 'evidence' before any worker gives it"):
        MemoryScope.open(in_tmp / "a.db", config=settings(retrieval=circle))
    twice = [["extract_time", "always_may", "set_query"], *stages("retrieve")[1:]]
    with pytest.raises(ConfigError, match="both give 'times'"):
        MemoryScope.open(in_tmp / "a.db", config=settings(retrieval=twice))


# ---------------------------------------------------------------- J4: prompts


def test_j4_a_prompt_of_ones_own_is_asked_and_kept_with_what_it_made(in_tmp: Path) -> None:
    folder = in_tmp / "prompts"
    folder.mkdir()
    own = {
        "system": 'Find facts about boats. Reply with {"facts": [...]}.',
        "user": "Here are $count:\n$turns\n",
    }
    (folder / "en.yaml").write_text(yaml.safe_dump({"extract_observations": own}), "utf-8")
    config = load_config(overrides={"prompts": folder, "embedder": {"name": "none"}})
    model = reading()
    with MemoryScope.open(in_tmp / "memory.db", config=config, generator=model) as memory:
        memory.record("I have a boat.", scope="ann", speaker="Ann")
        memory.record("我住在上海。", scope="wei", speaker="小伟")
        memory.consolidate(scope="ann")
        memory.consolidate(scope="wei")
        (boat,) = memory.list(scope="ann", kinds=["observation"]).items
        (home,) = memory.list(scope="wei", kinds=["observation"]).items
    asked = [messages[0].content for messages in model.history]
    assert asked.count(own["system"]) == 1
    packaged, mine = Prompts.load(), Prompts.load(folder)
    for node, language in ((boat, "en"), (home, "zh")):
        prompt = mine.get("extract_observations", language)
        assert node.metadata["prompt"] == prompt.version
        assert prompt.system in asked
    versions = [prompts.get("extract_observations", "en").version for prompts in (packaged, mine)]
    assert len(set(versions)) == 2  # the other language is as packaged
    assert mine.get("extract_observations", "zh") == packaged.get("extract_observations", "zh")


# ---------------------------------------------------------------- J5: dumps

OTHER: Mapping[str, Any] = {
    "store": {"path": "x/y.db", "cache_mb": 64},
    "generator": {"provider": "vllm", "model": "m", "extra_body": {"top_k": 4, "a": [1, None]}},
    "retrieval": {"limit": 3, "floor": False, "budget_ms": 12.5},
    "reflection": {"threshold": 2, "long_range": False},
    "prompts": "some/folder",
    "time_zone": "Asia/Tokyo",
}


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize("settings_of", [{}, OTHER])
def test_j5_a_dump_is_a_settings_file(
    settings_of: Mapping[str, Any], suffix: str, tmp_path: Path
) -> None:
    config = parse_config(settings_of)
    path = tmp_path / f"dump.{suffix}"
    dump = json.dumps if suffix == "json" else yaml.safe_dump
    path.write_text(dump(config.dump()), "utf-8")
    again = load_config(path, environ={})
    assert again == config
    assert again.dump() == config.dump()


def test_j5_what_is_added_to_a_file_and_taken_out_again(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    before = Config().dump()
    added = {**before, "generator": {**before["generator"], "provider": "vllm", "model": "m"}}
    path.write_text(yaml.safe_dump(added), "utf-8")
    assert load_config(path, environ={}).generator.model == "m"
    path.write_text(yaml.safe_dump({k: v for k, v in added.items() if k != "generator"}), "utf-8")
    assert load_config(path, environ={}) == Config()


def test_j5_a_redacted_key_is_refused_by_name_not_taken_for_a_key() -> None:
    config = parse_config({"embedder": {"api_key": "OUR_KEY"}})
    with pytest.raises(ConfigError, match=r"embedder\.api_key"):
        parse_config(config.dump())
