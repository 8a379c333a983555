"""From what a model wrote to clues: one a line, cleaned, without repetitions.

What makes a line a clue is what it could find: at least two terms of the lexical analysis, which
counts words in English and pairs of characters in Chinese. MemoRAG counts words between blanks,
and so drops every Chinese clue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from memoryscope_rag.lexical import analyze

LIMIT = 8
"""Clues of one kind at most."""
_TERMS = 2
_MARK = re.compile(r"\s*(?:[-*–—]+\s|[•·]|[(（]?\d{1,2}(?:[)）、]|[.:：](?!\d)))\s*")
_LABEL = re.compile(
    r"(?:question|passage|answer|clue|问题|原文|线索)\s*\d*\s*[:：]\s*", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"'“‘「『]([^\"“”「」『』]*)[\"'”’」』]")
_HEADING = (":", "：")


def clue_lines(text: str, *, cut: bool = False, known: Iterable[str] = ()) -> tuple[str, ...]:
    """The clues in ``text``, in order, at most :data:`LIMIT`.

    Numbering, bullets, labels and quotation marks go; so do headings, what is said twice, and what
    has fewer than two terms.

    Args:
        cut: the text ends because the model was stopped: its last line is left out, unless it is
            the only one.
        known: texts that are no clues, such as the question itself.
    """
    seen = {tuple(analyze(one)) for one in known}
    found = []
    for line in _lines(text, cut):
        terms = tuple(analyze(line))
        if len(terms) >= _TERMS and terms not in seen:
            seen.add(terms)
            found.append(line)
    return tuple(found[:LIMIT])


def _lines(text: str, cut: bool) -> Iterator[str]:
    lines = text.strip().splitlines()
    if cut and len(lines) > 1:
        lines.pop()
    for line in lines:
        marked = _MARK.match(line)
        bare = line[marked.end() :] if marked is not None else line
        labelled = _LABEL.match(bare)
        bare = (bare[labelled.end() :] if labelled is not None else bare).strip()
        quoted = _QUOTED.fullmatch(bare)
        bare = quoted[1].strip() if quoted is not None else bare
        if not bare.endswith(_HEADING):
            yield bare
