"""Settings from defaults, a YAML file, ``MEMORYSCOPE_*`` variables and code, in that order.

The only place that reads the environment. ``MEMORYSCOPE_STORE__PATH`` is ``store.path``; values
are read as YAML, so ``false`` is false and ``12`` a number. ``MEMORYSCOPE_CONFIG`` names the file,
``MEMORYSCOPE_MODELS`` is short for ``embedder.models_dir``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ConfigError, suggest

PREFIX = "MEMORYSCOPE_"
_APART = {"MEMORYSCOPE_CONFIG", "MEMORYSCOPE_MODELS"}


def load_config(
    path: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The settings in force.

    ``overrides`` is a tree such as ``{"store": {"path": "x.db"}}``; it wins over the environment,
    which wins over the file, which wins over the defaults. ``store.path`` may be the URL of an
    Elasticsearch cluster. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = {}
    path = path or environ.get("MEMORYSCOPE_CONFIG") or None
    if path is not None:
        _merge(tree, _read_yaml(Path(path)))
    _merge(tree, _from_environment(environ))
    _merge(tree, overrides or {})
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> Config:
    """A checked Config of a plain tree. Raises ConfigError that names the key and its like."""
    _check_keys(tree, Config, ())
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"setting {where!r}: {first['msg']}") from None


def with_store(config: Config, place: Path | str) -> Config:
    """``config`` with memory kept at ``place``, a file's path or a cluster's URL.

    Raises ConfigError.
    """
    tree = config.store.model_dump() | {"provider": "sqlite", "path": place}
    return config.model_copy(update={"store": parse_config({"store": tree}).store})


def read_secret(name: str | None, *, environ: Mapping[str, str] | None = None) -> str | None:
    """The value of the secret kept in the variable ``name``; ConfigError when it is not set."""
    if name is None:
        return None
    value = (os.environ if environ is None else environ).get(name)
    if not value:
        raise ConfigError(f"the environment variable {name}, which holds a secret, is not set")
    return value


def packaged_text(folder: str, name: str) -> str:
    """A data file of this package, such as ``("operations", "retrieve.yaml")``."""
    return resources.files("memoryscope_rag").joinpath(*folder.split("/"), name).read_text("utf-8")


def prompt_files(
    packaged: str, languages: Sequence[str], folder: Path | None
) -> Iterator[tuple[str, str, dict[Any, Any]]]:
    """Language, name for messages and content of each file of prompts.

    First those of the package's folder ``packaged``, then each ``LANGUAGE.yaml`` in ``folder``.
    Raises ConfigError for one that cannot be read or is no mapping.
    """
    for language in languages:
        name = f"{language}.yaml"
        yield language, name, _prompt_tree(packaged_text(packaged, name), name)
    for path in sorted(folder.glob("*.yaml")) if folder is not None else ():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot read prompts {path}: {reason}") from None
        yield path.stem, str(path), _prompt_tree(text, str(path))


def _prompt_tree(text: str, where: str) -> dict[Any, Any]:
    try:
        tree: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: must map names to prompts")
    return tree


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: settings are a mapping of sections")
    return tree


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    if environ.get("MEMORYSCOPE_MODELS"):
        tree["embedder"] = {"models_dir": environ["MEMORYSCOPE_MODELS"]}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in _APART:
            continue
        if variable.startswith("MEMORYSCOPE_TEST_"):
            continue  # the test suite's own switches
        keys = variable.removeprefix(PREFIX).lower().split("__")
        branch = tree
        for key in keys[:-1]:
            branch = branch.setdefault(key, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"{variable}: {key!r} is a value, not a section")
        try:
            branch[keys[-1]] = yaml.safe_load(text)
        except yaml.YAMLError:
            branch[keys[-1]] = text
    return tree


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value


def _check_keys(tree: Mapping[str, Any], model: type[BaseModel], at: tuple[str, ...]) -> None:
    for key, value in tree.items():
        field = model.model_fields.get(key) if isinstance(key, str) else None
        if field is None:
            name = ".".join((*at, str(key)))
            raise ConfigError(f"unknown setting {name!r}; {suggest(str(key), model.model_fields)}")
        inner = field.annotation
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
            _check_keys(value, inner, (*at, key))
