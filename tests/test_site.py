"""The documentation as a site: every page has its place, and what stands in a page exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from memoryscope_rag.cli.run import run

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
BESIDE = {"log.md", "changelog.md", "contributing.md"}
"""Pages that docs/hooks.py makes of files of the repository."""
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def named(entry: Any) -> Iterator[str]:
    """The pages under an entry of the navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from named(inner)


def shell(page: str) -> list[list[str]]:
    """The commands of a page's shell blocks, in words, up to a pipe."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(" | ")[0], comments=True) for line in lines]


def test_every_page_has_one_place_in_the_navigation() -> None:
    pages = list(named(SITE["nav"]))
    assert len(pages) == len(set(pages))
    assert set(pages) == {page.removeprefix("docs/") for page in PAGES} | BESIDE


def test_the_site_asks_no_other_host() -> None:
    assert SITE["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & set(SITE)
    for page in PAGES:
        assert not re.search(r"!\[[^\]]*\]\(http|<(script|img|iframe)", (ROOT / page).read_text())


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_includes_or_runs_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for line in re.findall(r'^.*8 *<.*".+"$', text, re.MULTILINE):
        include = re.fullmatch(r'--8<-- "(.+)"', line)  # a formatter of Python takes it for a sum
        assert include, f"{page}: {line}"
        assert (ROOT / include[1]).is_file(), f"{page}: {line}"
    for words in shell(page):
        if words[:1] == ["python"] and words[1:2] != ["-m"]:
            assert (ROOT / words[1]).is_file(), f"{page}: {words}"


@pytest.mark.parametrize("page", [page for page in PAGES if shell(page)])
def test_the_commands_of_shell_blocks_have_their_options(page: str, in_tmp: Path) -> None:
    for words in shell(page):
        if words[:2] == ["docker", "compose"] and "run" in words:
            words = ["memoryscope-rag", *words[words.index("run") + 3 :]]  # run --rm service ...
        if words[:1] == ["memoryscope-rag"]:
            assert run([*words[1:], "--help"]) == 0, f"{page}: {words}"
