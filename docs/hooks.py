"""What the site shows besides docs/: the log, the changes, how to contribute, from files beside it.

Links between these and the pages are turned into the site's own; what lies in the repository and is
no page keeps its words and loses its link.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BESIDE = {"LOG.md": "log.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for name, page in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, **rest: Any) -> str:
    """Turn the links of a page, which lead within the repository."""
    folder = ROOT if page.file.src_uri in BESIDE.values() else ROOT / "docs"

    def turned(link: re.Match[str]) -> str:
        target = (folder / link["path"]).resolve().relative_to(ROOT).as_posix()
        name = target.removeprefix("docs/") if target.startswith("docs/") else BESIDE.get(target)
        return link[1] if name is None else f"[{link[1]}]({name}{link['anchor'] or ''})"

    return _LINK.sub(turned, markdown)
