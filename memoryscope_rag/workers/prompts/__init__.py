"""The prompts of all workers, one YAML file a language, and files that override some of them.

A file maps a worker's name to its ``system`` and ``user`` text, in which ``$name`` stands for a
value. A further language is one more file; a worker whose prompt it lacks falls back to English.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

from memoryscope_rag.configs.load import prompt_files
from memoryscope_rag.errors import ConfigError, suggest
from memoryscope_rag.ports import ChatMessage

DEFAULT: Final = "en"
_PACKAGED: Final = (DEFAULT, "zh")
_KEYS: Final = ("system", "user")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one worker in one language. ``version`` changes with every letter of it."""

    worker: str
    language: str
    system: str
    user: str

    @property
    def version(self) -> str:
        """Such as ``info_filter/en/3f2a91c0``; kept with every memory that it made."""
        digest = hashlib.sha256(f"{self.system}\0{self.user}".encode()).hexdigest()
        return f"{self.worker}/{self.language}/{digest[:8]}"

    def render(self, **values: str) -> list[ChatMessage]:
        """The prompt with ``values`` filled in. Values are data: no ``$`` in them is looked at."""
        return [
            ChatMessage("system", Template(self.system).substitute(values)),
            ChatMessage("user", Template(self.user).substitute(values)),
        ]


class Prompts:
    """Finds the prompt of a worker in a language."""

    def __init__(self, by_language: Mapping[str, Mapping[str, Prompt]]) -> None:
        self._by_language = by_language

    @classmethod
    def load(cls, folder: Path | None = None) -> Prompts:
        """The packaged prompts, overridden by ``LANGUAGE.yaml`` files in ``folder``.

        Raises:
            ConfigError: a file cannot be read, or holds what is no prompt.
        """
        found: dict[str, dict[str, Prompt]] = {}
        known: set[str] = set()
        for language, where, tree in prompt_files("workers/prompts", _PACKAGED, folder):
            mine = _checked(tree, language, where)
            known = known or set(mine)  # those of the default language, which comes first
            for worker in mine:
                if worker not in known:
                    raise ConfigError(f"{where}: no prompt {worker!r}; {suggest(worker, known)}")
            found[language] = {**found.get(language, {}), **mine}
        return cls(found)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have prompts."""
        return tuple(self._by_language)

    def get(self, worker: str, language: str) -> Prompt:
        """The prompt of ``worker`` in ``language``, else in English. Raises ConfigError."""
        for candidate in (language, DEFAULT):
            if (prompt := self._by_language.get(candidate, {}).get(worker)) is not None:
                return prompt
        raise ConfigError(f"no prompt {worker!r}; {suggest(worker, self._by_language[DEFAULT])}")


def _checked(tree: dict[Any, Any], language: str, where: str) -> dict[str, Prompt]:
    prompts = {}
    for worker, parts in tree.items():
        if not isinstance(parts, dict) or set(parts) != set(_KEYS):
            raise ConfigError(f"{where}: {worker!r} must have exactly the keys system and user")
        prompts[str(worker)] = Prompt(str(worker), language, parts["system"], parts["user"])
    return prompts
