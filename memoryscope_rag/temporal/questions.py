"""Whether a text asks, and whether it speaks of the past or of the future."""

from __future__ import annotations

import re
from typing import Literal

from memoryscope_rag.temporal.fields import Prefer

_ASKING = re.compile(
    r"\s*[\"'“‘(]*(?:(?:and|so|but|ok|okay|well|hey|please|also)[,\s]+)?"
    r"(?:who|whom|whose|what|whats|what's|when|where|which|why|how|is|are|was|were|am|do|does|did"
    r"|has|have|had|can|could|will|would|shall|should|may|might|isn't|aren't|wasn't|weren't"
    r"|don't|doesn't|didn't|won't|wouldn't|can't|couldn't|shouldn't|haven't|hasn't"
    r"|in which|at what|on which|by when|since when|tell me (?:what|when|where|who|how|which|why))"
    r"\b",
    re.IGNORECASE,
)
_NO_QUESTION = re.compile(
    r"\s*(?:(?:when|while|where|how|what|which|who)\b[^?]{0,200},"
    r"|what an?\b|how (?:nice|great|lovely|cool|awesome)\b"
    r"|(?:have|do|may|will) (?:a|an|the|not|my|some|it)\b|may \d|will power)",
    re.IGNORECASE,
)
_ASKING_ZH = re.compile(
    r"吗|嗎|呢|谁|誰|什么|什麼|啥|哪|几[个點点月号日岁年天次位家时種种]|幾|多少|多久|多大|多长|多远"
    r"|怎么|怎麼|怎样|怎麼|如何|为何|為何|为什么|是不是|有没有|有沒有|能不能|会不会|是否|何时|何處|何地"
)
_COMING = re.compile(
    r"\b(?:will|shall|won't|gonna|going to|plan(?:s|ned|ning)? (?:to|on)|planning|tomorrow|tonight"
    r"|upcoming|next (?:week|weekend|month|year|monday|tuesday|wednesday|thursday|friday|saturday"
    r"|sunday|summer|spring|fall|winter)|soon|looking forward|schedule|remind|hope to|intend to"
    r"|about to|let's|book(?:ing)? (?:a|the|me|us)|deadline|due|later (?:today|this))\b"
    r"|\b(?:i|we|you|they|he|she|it|that|there)(?:'|’)ll\b",
    re.IGNORECASE,
)
_COMING_ZH = re.compile(
    r"打算|将要|將要|将于|将在|將|准备|準備|计划|計劃|明天|后天|明年|下周|下週|下个|下個|下月|即将|即將|"
    r"就要|快要|想要|预计|預計|预订|预定|安排|提醒|会去|要去|会在|要在|今晚|待会|以后会|会议"
)
_ASKED_AHEAD = re.compile(
    r"\b(?:will|shall|won't)\b|\b(?:i|we|you|they|he|she|it|that|there)(?:'|’)ll\b"
    r"|\b(?:is|are|am|i'm|what's|when's)\b[^?.!]{0,60}"
    r"\b(?:going to|planned|planning|due|scheduled|supposed to|about to)\b",
    re.IGNORECASE,
)
_ASKED_AHEAD_ZH = re.compile(
    r"^(?!.*(?:原来|原來|原本|本来|本來|当时|當時|之前|上次|说过|說過|了)).*"
    r"(?:打算|将要|將要|将于|将在|准备|準備|计划|計劃|预定|預定|安排)"
)
_ARRANGED = re.compile(
    r"\b(?:booked|reserved|scheduled|arranged|agreed|decided|promised|invited|signed up|moved to"
    r"|(?:talked|roped) (?:me|us|him|her|them) into)\b",
    re.IGNORECASE,
)
_ARRANGED_ZH = re.compile(r"[定订訂约約报報]了|改到|推[迟遲]到|提前到|延到")
_HAPPENED = re.compile(
    r"\b(?:was|were|wasn't|weren't|did|didn't|had|ago|been|went|came|got|took|made|saw|met|bought|gave"
    r"|told|said|left|found|felt|began|spent|won|lost|ran|flew|drove|ate|wrote|read|became|grew|taught"
    r"|(?!(?:allerg|bor|concern|excit|hundr|interest|marri|rel|suppos|thrill|tir|worri)\w*ed\b)\w{3,}ed)\b",
    re.IGNORECASE,
)
_HAPPENED_ZH = re.compile(
    r"了|过(?!敏|年|节|生日|来|去)|過(?!敏|年|節|生日|來|去)|以前|曾经|曾經|当时|當時"
)
_HAN = re.compile(r"[\u3400-\u9fff]")


def is_question(text: str) -> bool:
    """Whether an English or Chinese text asks something; cheap rules on its form only."""
    stripped = text.rstrip(" \t\n\"'”’)）」』*")
    if stripped.endswith(("?", "？")):
        return True
    if _HAN.search(text):
        last = re.split(r"[。！!\n]", stripped.rstrip("。！!"))[-1]
        return _ASKING_ZH.search(last) is not None
    return _ASKING.match(text) is not None and _NO_QUESTION.match(text) is None


def reading(text: str) -> Literal["past", "future"]:
    """Where an ambiguous time in ``text`` most likely lies.

    Questions to a memory ask about the past unless they are put in the future ("Where will I be in
    May?"); statements speak of the future if a word says so.
    """
    if is_question(text):
        ahead = _ASKED_AHEAD.search(text) or _ASKED_AHEAD_ZH.search(text)
        return "future" if ahead else "past"
    coming = _COMING.search(text) or _COMING_ZH.search(text)
    return "future" if coming else "past"


def telling(text: str) -> Prefer:
    """Where an ambiguous time most likely lies in ``text``, which somebody tells.

    What is to come is in the future, what happened in the past. Where the words do not say, as in
    "I start on 1 June", or something was arranged, the nearer day is meant.
    """
    looks = reading(text)
    if looks == "future" or is_question(text):
        return looks
    if _ARRANGED.search(text) or _ARRANGED_ZH.search(text):
        return "nearest"
    return "past" if _HAPPENED.search(text) or _HAPPENED_ZH.search(text) else "nearest"
