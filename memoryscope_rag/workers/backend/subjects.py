"""Subjects of insights: how they are written, whom a fact is about, and what bears on what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag import lexical
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import Embedder, FloatArray
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.scoring.features import is_unspaced, named_in
from memoryscope_rag.workers.backend.facts import plain
from memoryscope_rag.workers.backend.state import Subject

SOMEBODY: Final = "user"
"""Whom a fact is about that names nobody and was said by nobody who has a name."""

_EVERYDAY: Final = {
    False: (
        "employer", "home", "pets", "hobbies", "diet", "travel plans", "relationship", "birthday",
        "health", "education", "favourite music", "favourite food", "car", "family", "friends",
        "sports", "religion", "money", "sleep", "languages", "books", "films", "goals", "childhood",
        "shopping",
    ),
    True: (
        "工作单位", "住处", "宠物", "爱好", "饮食习惯", "旅行计划", "恋爱关系", "生日", "健康",
        "教育", "喜欢的音乐", "喜欢的食物", "汽车", "家庭", "朋友", "运动", "宗教", "收入", "睡眠",
        "语言", "书籍", "电影", "目标", "童年", "购物",
    ),
}  # fmt: skip
_PARTS = re.compile(r"[;；,，、\n]+")
_SAME = 0.97
"""Cosine from which an everyday attribute is the very text in question, and no background."""


def subject_of(insight: MemoryNode) -> Subject | None:
    """What ``insight`` is about; ``None`` for one that reflection did not make."""
    who, attribute = insight.metadata.get("subject"), insight.metadata.get("attribute")
    if not isinstance(who, str) or not isinstance(attribute, str):
        return None
    return Subject(who, attribute, insight)


def value_of(insight: MemoryNode) -> str:
    """The value that ``insight`` holds."""
    value = insight.metadata.get("value")
    return value if isinstance(value, str) else insight.content


def insight_text(who: str, attribute: str, value: str) -> str:
    """What an insight reads like: ``"Ann's employer: Google"``, ``"小伟的住处：上海"``."""
    if is_unspaced(attribute):
        return f"{'用户' if who == SOMEBODY else who}的{attribute}：{value}"
    return f"{'The user' if who == SOMEBODY else who}'s {attribute}: {value}"


def insight_id(subject: Subject, value: str, newest: str) -> str:
    """The same for the same value on the same ground in place of the same insight."""
    before = subject.insight.id if subject.insight is not None else ""
    text = "\0".join((plain(subject.who), plain(subject.attribute), plain(value), newest, before))
    return f"ins-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def who_of(fact: MemoryNode) -> str:
    """Whom a fact is about: its subject if it names one, else who said it.

    A relation is told from those of others by whose it is: "Ann's sister", 小伟的妹妹.
    """
    subject = fact.metadata.get("subject")
    if not isinstance(subject, str) or not subject:
        return fact.speaker or SOMEBODY
    if fact.speaker is not None and subject in _relations():
        mark = "的" if is_unspaced(subject) else "'s "
        return f"{fact.speaker}{mark}{subject}"
    return subject


def slot_of_fact(fact: MemoryNode) -> tuple[str, str] | None:
    """Whom and which attribute a fact names, in one form of writing; ``None`` for no attribute."""
    attribute = fact.metadata.get("attribute")
    return (plain(who_of(fact)), plain(attribute)) if isinstance(attribute, str) else None


def may_concern(fact: MemoryNode, who: str) -> bool:
    """Whether ``fact`` can be about ``who``: it says so, names them, or names nobody at all."""
    if plain(who_of(fact)) == plain(who) or named_in(fact.content, (who,)):
        return True
    return fact.speaker is None and "subject" not in fact.metadata


def same_slot(fact: MemoryNode, subject: Subject) -> bool:
    """Whether ``fact`` names the very attribute in its metadata."""
    return slot_of_fact(fact) == (plain(subject.who), plain(subject.attribute))


def same_words(first: str, second: str) -> bool:
    """Whether two attributes say the same but for form, order and additions ("current home")."""
    one, two = set(lexical.analyze(first)), set(lexical.analyze(second))
    if not one or not two:
        return plain(first) == plain(second)
    return one <= two or two <= one


def words_of(subject: Subject) -> list[frozenset[str]]:
    """The tokens of the attribute, and of each part of the value, without the person's name."""
    texts = [subject.attribute]
    if subject.insight is not None:
        texts += _PARTS.split(value_of(subject.insight))
    found = [frozenset(lexical.analyze(without_name(text, subject.who))) for text in texts]
    return [words for words in found if words]


def shares_words(terms: frozenset[str], words: Iterable[frozenset[str]]) -> bool:
    """Whether ``terms`` of a fact hold half the ``words`` of the attribute or of one part."""
    return any(2 * len(part & terms) >= len(part) for part in words)


def without_name(text: str, who: str) -> str:
    """``text`` without the name of whom it is about: what all facts of somebody have in common
    makes them no more alike.
    """
    bare = re.sub(rf"{re.escape(who)}(?:['’]s\b|的)?", " ", text, flags=re.IGNORECASE)
    return " ".join(bare.split()) or text


class Likeness:
    """Cosines of texts and attributes, each measured against everyday attributes.

    Cosines of short texts lie high or low by the model, the language and the text. What counts is
    how far an attribute stands out for a text from the cosines that it has with some everyday
    ones, in their standard deviations. So it needs no constants of the model, if only the model has
    learnt the language; docs/reflection.md has figures.
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder

    async def bearing(self, texts: Sequence[str], attributes: Sequence[str]) -> FloatArray:
        """How far each attribute stands out for each text ``(texts, attributes)``.

        Minus infinity where there is no embedder or when it fails: then words must do.
        """
        return await self._standing(texts, attributes, "document")

    async def between(self, first: Sequence[str], second: Sequence[str]) -> FloatArray:
        """How alike attributes are ``(first, second)``: the larger of both points of view."""
        there = await self._standing(first, second, "query")
        back = await self._standing(second, first, "query")
        return np.maximum(there, back.T)

    async def _standing(
        self, texts: Sequence[str], attributes: Sequence[str], kind: str
    ) -> FloatArray:
        nothing = np.full((len(texts), len(attributes)), -np.inf, dtype=np.float32)
        if self._embedder is None or not texts or not attributes:
            return nothing
        unspaced = np.array([is_unspaced(text) for text in attributes])
        scripts = sorted(set(unspaced.tolist()))
        everyday = [text for script in scripts for text in _EVERYDAY[script]]
        try:
            rows = await self._embedder.embed(
                list(texts), "query" if kind == "query" else "document"
            )
            columns = await self._embedder.embed([*attributes, *everyday], "query")
        except ModelError:
            return nothing
        cosines = rows @ columns.T
        result = nothing
        begin = len(attributes)
        for script in scripts:
            end = begin + len(_EVERYDAY[script])
            mean, deviation = _background(cosines[:, begin:end])
            wanted = unspaced == script
            result[:, wanted] = (cosines[:, : len(attributes)][:, wanted] - mean) / deviation
            begin = end
        return result


def _background(cosines: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each row ``(rows, 1)``, without what is the row's own text."""
    usable = np.where(cosines < _SAME, cosines, np.nan)
    mean = np.nanmean(usable, axis=1, keepdims=True)
    return mean, np.maximum(np.nanstd(usable, axis=1, keepdims=True), 1e-3)


@lru_cache(maxsize=1)
def _relations() -> frozenset[str]:
    from memoryscope_rag.statements import LANGUAGES  # half a second of patterns, if ever needed

    return frozenset(
        name for language in LANGUAGES.values() for name in language.relations.values()
    )
