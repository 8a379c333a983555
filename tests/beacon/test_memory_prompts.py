"""The prompts of beacon memory: two languages, the same keys, files that override them."""

from __future__ import annotations

from pathlib import Path

import pytest

from memoryscope_rag.beacon.prompts import VALUES, MemoryPrompts, fill
from memoryscope_rag.errors import ConfigError

PROMPTS = MemoryPrompts.load()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("key", VALUES)
def test_p14_every_prompt_is_there_and_takes_its_values(key: str, language: str) -> None:
    values = {name: f"<{name} $here>" for name in VALUES[key]}
    text = PROMPTS.render(key, language, **values)
    assert all(value in text for value in values.values())
    assert PROMPTS.language(text) == language


def test_the_language_is_that_of_the_text() -> None:
    assert PROMPTS.language("我上周搬到了 Lisbon") == "zh"
    assert PROMPTS.language("I moved to 里斯本 last week") == "en"
    assert PROMPTS.language("Je ne sais pas où il est dans la ville") == "en"  # no French prompts
    assert PROMPTS.get("qa", "fr") == PROMPTS.get("qa", "en")


def test_a_folder_overrides_some_and_adds_languages(tmp_path: Path) -> None:
    (tmp_path / "en.yaml").write_text("qa: 'Q: $question'", "utf-8")
    (tmp_path / "fr.yaml").write_text("qa: 'Question : $question'", "utf-8")
    prompts = MemoryPrompts.load(tmp_path)
    assert prompts.render("qa", "en", question="x") == "Q: x"
    assert prompts.render("sum", "en") == PROMPTS.render("sum", "en")
    assert prompts.language("Je ne sais pas où il est dans la ville") == "fr"
    assert prompts.render("sum", "fr") == PROMPTS.render("sum", "en")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[", "not valid YAML"),
        ("- qa", "must map"),
        ("qaa: x", "qaa"),
        ("qa: 3", "qa must be a text"),
        ("qa: no mark", r"\$question"),
        ("qa: '$question $other'", r"\$question"),
        ("sum: 'costs $5'", "none"),
    ],
)
def test_what_is_no_prompt_is_refused_by_name(content: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "en.yaml").write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=named):
        MemoryPrompts.load(tmp_path)


def test_a_template_of_ones_own_is_filled_and_checked() -> None:
    assert fill("$context / $input", context="a $b", input="c") == "a $b / c"
    with pytest.raises(ConfigError, match=r"\$context"):
        fill("nothing", context="a")
