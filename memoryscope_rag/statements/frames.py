"""Which sentences of a conversation speak of something invented: stories, games, role-play.

A frame that one turn opens ("let's write a story") covers later turns, too, of both speakers,
until somebody closes it or the session ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memoryscope_rag.statements.language import Language
from memoryscope_rag.statements.languages import language_of
from memoryscope_rag.statements.sentences import Sentence, sentences

PLAY_TURNS = 30
"""Turns that a story or a game goes on at most when nobody closes it."""
STORY_TURNS = 3
"""Turns after the mention of a novel in which "she" and "the captain" belong to it."""


@dataclass(frozen=True, slots=True)
class Framed:
    """A sentence and whether it speaks of something invented."""

    sentence: Sentence
    language: Language
    fiction: bool


def framed(turns: Sequence[str]) -> tuple[tuple[Framed, ...], ...]:
    """The sentences of the turns of one session, in order, a tuple a turn."""
    play = story = 0
    result = []
    for text in turns:
        play, story = max(0, play - 1), max(0, story - 1)
        found = []
        for sentence in sentences(text):
            language = language_of(sentence.text)
            if language.closes.search(sentence.text):
                play = story = 0
            opens = language.opens_play.search(sentence.text) is not None
            fiction = (
                play > 0
                or opens
                or language.fiction.search(sentence.text) is not None
                or (story > 0 and language.invented.match(sentence.text) is not None)
            )
            if opens:
                play = PLAY_TURNS
            if language.opens_story.search(sentence.text):
                story = STORY_TURNS
            found.append(Framed(sentence, language, fiction))
        result.append(tuple(found))
    return tuple(result)
