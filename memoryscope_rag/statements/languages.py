"""Which language's tables a text is read by."""

from __future__ import annotations

from collections.abc import Mapping

from memoryscope_rag.statements.chinese import CHINESE
from memoryscope_rag.statements.english import ENGLISH
from memoryscope_rag.statements.language import Language

LANGUAGES: Mapping[str, Language] = {tables.name: tables for tables in (ENGLISH, CHINESE)}


def language_of(text: str) -> Language:
    """The language whose script a text is mostly written in; a Han character weighs as four
    letters, since "我在Google上班" is a Chinese sentence. English where neither is found.
    """
    han = len(CHINESE.script.findall(text))
    return CHINESE if han * 4 > len(ENGLISH.script.findall(text)) else ENGLISH
