"""The prompts of beacon memory, one YAML file a language, and files that override some of them.

A file maps keys to texts in which ``$name`` stands for a value. The keys are MemoRAG's,
but for the last:

============= ==================== ==========================================================
key           values               what the model is to write
============= ==================== ==========================================================
context       ``$context``         nothing: it wraps what is memorized
acknowledged                       what the model has answered to that
gist          ``$context``         the window in plain prose
span          ``$question``        passages of the memory, one a line
sur           ``$question``        precise questions, one a line
qa            ``$question``        the answer, from the memory
sum                                the main points, one a line
qa_gen        ``$context $input``  the answer, from passages
sum_gen       ``$context``         a summary, from passages
draft         ``$answer``          nothing: one more passage, the memory's own answer
============= ==================== ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any, Final

from memoryscope_rag.configs.load import prompt_files
from memoryscope_rag.errors import ConfigError, suggest
from memoryscope_rag.lexical import language_of

DEFAULT: Final = "en"
_PACKAGED: Final = ("en", "zh")
_SAMPLE: Final = 4096
"""So many characters of a text tell its language."""
VALUES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "context": frozenset({"context"}),
        "acknowledged": frozenset[str](),
        "gist": frozenset({"context"}),
        "span": frozenset({"question"}),
        "sur": frozenset({"question"}),
        "qa": frozenset({"question"}),
        "sum": frozenset[str](),
        "qa_gen": frozenset({"context", "input"}),
        "sum_gen": frozenset({"context"}),
        "draft": frozenset({"answer"}),
    }
)
"""The values that each prompt holds."""


class MemoryPrompts:
    """Finds the prompt of a key in a language."""

    def __init__(self, by_language: Mapping[str, Mapping[str, str]]) -> None:
        self._by_language = by_language

    @classmethod
    def load(cls, folder: Path | None = None) -> MemoryPrompts:
        """The packaged prompts, overridden by ``LANGUAGE.yaml`` files in ``folder``.

        Raises:
            ConfigError: a file cannot be read, or holds what is no prompt.
        """
        found: dict[str, dict[str, str]] = {}
        for language, where, tree in prompt_files("beacon/prompts", _PACKAGED, folder):
            found[language] = {**found.get(language, {}), **_checked(tree, where)}
        return cls(found)

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that there are prompts in, in order."""
        return tuple(sorted(self._by_language))

    def language(self, text: str) -> str:
        """The language of ``text`` if there are prompts in it, else English."""
        language = language_of(text[:_SAMPLE])
        return language if language in self._by_language else DEFAULT

    def get(self, key: str, language: str) -> str:
        """The prompt with its ``$`` marks, in ``language``, else in English."""
        return self._by_language.get(language, {}).get(key) or self._by_language[DEFAULT][key]

    def render(self, key: str, language: str, **values: str) -> str:
        """The prompt with ``values`` filled in. Values are data: no ``$`` in them is looked at."""
        return fill(self.get(key, language), **values)


def fill(template: str, **values: str) -> str:
    """``template`` with ``values`` for its ``$`` marks.

    Raises:
        ConfigError: it holds a mark without a value, or lacks the mark of one.
    """
    _check(template, frozenset(values), "the prompt")
    return Template(template).substitute(values)


def _checked(tree: dict[Any, Any], where: str) -> dict[str, str]:
    for key, prompt in tree.items():
        if key not in VALUES:
            raise ConfigError(f"{where}: no prompt {key!r}; {suggest(str(key), VALUES)}")
        if not isinstance(prompt, str):
            raise ConfigError(f"{where}: {key} must be a text")
        _check(prompt, VALUES[key], f"{where}: {key}")
    return tree


def _check(template: str, values: frozenset[str], where: str) -> None:
    written = Template(template)
    names = frozenset(written.get_identifiers())
    if not written.is_valid() or names != values:
        wanted = " ".join(f"${name}" for name in sorted(values)) or "none"
        raise ConfigError(f"{where}: must hold exactly these $ marks: {wanted} ($$ is a dollar)")
