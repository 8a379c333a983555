"""Statements in chat without a language model, English and Chinese, by rules and tables alone.

:func:`read` selects what a person would keep of the turns of a session, :func:`slots_of` tells
whom and which attribute a statement is about, :func:`relation` what a newer statement makes of an
older one. A further language is one more file of tables (:mod:`.language`).

>>> [s.text for s in read([Turn("Hi! Yeah, I work at Siemens. How are you?", "ann")])[0].statements]
['I work at Siemens.']
"""

from __future__ import annotations

from memoryscope_rag.statements.languages import LANGUAGES, language_of
from memoryscope_rag.statements.reading import Read, Statement, Turn, read
from memoryscope_rag.statements.relation import Judgement, Said, relation
from memoryscope_rag.statements.selection import KEEP, Appraisal, appraise
from memoryscope_rag.statements.sentences import Sentence, sentences
from memoryscope_rag.statements.slots import SINGLE, Slot, Who, slots_of

__all__ = [
    "KEEP",
    "LANGUAGES",
    "SINGLE",
    "Appraisal",
    "Judgement",
    "Read",
    "Said",
    "Sentence",
    "Slot",
    "Statement",
    "Turn",
    "Who",
    "appraise",
    "language_of",
    "read",
    "relation",
    "sentences",
    "slots_of",
]
