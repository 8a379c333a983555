"""Settings: precedence, types from the environment, unknown keys, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag import Config, load_config
from memoryscope_rag.configs.load import parse_config, read_secret
from memoryscope_rag.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("retrieval: {limit: 3, floor: false}\ntime_zone: Asia/Tokyo\n", "utf-8")
    return path


def test_without_anything_the_defaults_hold() -> None:
    assert load_config(environ={}) == Config()


def test_j1_the_file_wins_over_defaults_the_environment_over_it_code_over_all(file: Path) -> None:
    environ: dict[str, str] = {}
    overrides: dict[str, Any] = {}

    def limit() -> int:
        return load_config(file, overrides, environ=environ).retrieval.limit

    assert limit() == 3
    environ["MEMORYSCOPE_RETRIEVAL__LIMIT"] = "4"
    assert limit() == 4
    overrides["retrieval"] = {"limit": 5}
    assert limit() == 5
    config = load_config(file, overrides, environ=environ)
    assert (config.retrieval.floor, config.time_zone) == (False, "Asia/Tokyo")


def test_the_environment_may_name_the_file(file: Path, tmp_path: Path) -> None:
    environ = {"MEMORYSCOPE_CONFIG": str(file)}
    assert load_config(environ=environ).retrieval.limit == 3
    other = tmp_path / "other.yaml"
    other.write_text("", "utf-8")
    assert load_config(other, environ=environ).retrieval.limit == 10


@pytest.mark.parametrize(("text", "value"), [("false", False), ("true", True), ("no", False)])
def test_j1_false_in_the_environment_is_false(text: str, value: bool) -> None:
    config = load_config(environ={"MEMORYSCOPE_RETRIEVAL__FLOOR": text})
    assert config.retrieval.floor is value


def test_j1_values_of_the_environment_are_typed() -> None:
    config = load_config(
        environ={
            "MEMORYSCOPE_RETRIEVAL__BUDGET_MS": "12.5",
            "MEMORYSCOPE_STORE__PATH": "x/y.db",
            "MEMORYSCOPE_STORE__CACHE_MB": "64",
            "MEMORYSCOPE_MODELS": "/models",
            "MEMORYSCOPE_TEST_ANYTHING": "left alone",
            "PATH": "/bin",
        }
    )
    assert config.retrieval.budget_ms == 12.5
    assert config.store.path == Path("x/y.db")
    assert config.store.cache_mb == 64
    assert config.embedder.models_dir == Path("/models")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"MEMORYSCOPE_RETRIEVAL__FLOOR": "maybe"}, "retrieval.floor"),
        ({"MEMORYSCOPE_RETRIEVAL__LIMIT": "1.5"}, "retrieval.limit"),
        ({"MEMORYSCOPE_RETRIEVAL__LIMIT": "0"}, "retrieval.limit"),
        ({"MEMORYSCOPE_RETRIEVAL__LIMIT": ""}, "retrieval.limit"),
        ({"MEMORYSCOPE_STORE": "x.db"}, "store"),
        ({"MEMORYSCOPE_TIME_ZONE": "Mars/Olympus"}, "time_zone"),
        ({"MEMORYSCOPE_RETRIEVAL__LIMITS": "3"}, "did you mean 'limit'"),
        ({"MEMORYSCOPE_STOER__PATH": "x"}, "did you mean 'store'"),
        ({"MEMORYSCOPE_TIME_ZONE": "UTC", "MEMORYSCOPE_TIME_ZONE__X": "1"}, "time_zone"),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(environ=environ)


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"retreival": {}}, "did you mean 'retrieval'"),
        ({"retrieval": {"budget_token": 1}}, "'retrieval.budget_token'.*'budget_tokens'"),
        ({"retrieval": {"limit": "5"}}, "retrieval.limit"),
        ({"retrieval": {"limit": True}}, "retrieval.limit"),
        ({"retrieval": {"floor": "false"}}, "retrieval.floor"),
        ({"store": None}, "store"),
        ({"store": {"cache_mb": 1}}, "store.cache_mb"),
        ({"embedder": {"pooling": "max"}}, "embedder.pooling"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({1: 2}, "unknown setting '1'"),
    ],
)
def test_wrong_settings_are_named_with_their_like(tree: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_config(tree)


@pytest.mark.parametrize("text", ["- a\n- b\n", "{x", "\xff"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        load_config(path, environ={})
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml", environ={})


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("time_zone: !!python/object/apply:os.getcwd []", "utf-8")
    with pytest.raises(ConfigError):
        load_config(path, environ={})


@pytest.mark.parametrize("value", ["hf_abcDEF123", "hf-token", "", "A B"])
def test_j1_a_secret_is_the_name_of_a_variable_never_the_secret(value: str) -> None:
    with pytest.raises(ConfigError, match=r"embedder\.hub_token") as caught:
        parse_config({"embedder": {"hub_token": value}})
    if len(value) > 3:
        assert value not in str(caught.value)


def test_j1_a_secret_is_read_when_it_is_needed_and_redacted_in_dumps() -> None:
    config = parse_config({"embedder": {"hub_token": "HF_TOKEN"}})
    assert config.dump()["embedder"]["hub_token"] == "[redacted]"
    assert "HF_TOKEN" not in str(config.dump())
    assert Config().dump()["embedder"]["hub_token"] is None
    name = config.embedder.hub_token
    assert read_secret(name, environ={"HF_TOKEN": "x"}) == "x"
    assert read_secret(None, environ={}) is None
    with pytest.raises(ConfigError, match="HF_TOKEN"):
        read_secret(name, environ={})


def test_j5_settings_cannot_be_changed_and_a_dump_can_be_read_again() -> None:
    config = Config()
    with pytest.raises(ValueError, match="frozen"):
        config.time_zone = "Asia/Tokyo"  # type: ignore[misc]
    assert parse_config(config.dump()) == config
