"""A stand-in for a chat model: it shows what consolidation asks, not what a model would answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from memoryscope_rag.lexical import analyze, estimate_tokens
from memoryscope_rag.ports import ChatMessage, Delta, JsonSchema, Reply, Sampling, Usage
from memoryscope_rag.temporal import is_question

_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_WORDS = 4
"""Tokens from which on a sentence that asks nothing is taken for a fact."""


class StandIn:
    """Takes every longer sentence that is no question for a fact, and all facts for compatible.

    Calls and prompts are those of a real model; tokens are estimated from them. ``delay`` is what
    a call takes, in seconds.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    @property
    def model(self) -> str:
        """Not to be taken for a model's name."""
        return "stand-in"

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """A reply to a prompt of consolidation; AssertionError for any other."""
        await asyncio.sleep(self._delay)
        lines = [json.loads(line) for line in messages[1].content.splitlines() if line[:1] == "{"]
        text = json.dumps(_answer(schema, [line for line in lines if "n" in line]))
        asked = sum(estimate_tokens(message.content) for message in messages)
        return Reply(text, self.model, Usage(asked, estimate_tokens(text)))

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncIterator[Delta]:
        """The reply in one piece."""
        reply = await self.generate(messages, sampling=sampling)
        yield Delta(reply.text)
        yield Delta("", reply)

    async def close(self) -> None:
        """Nothing to close."""


def _answer(schema: JsonSchema | None, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    wanted = set((schema or {}).get("properties", ()))
    if wanted == {"scores"}:
        scores = [{"n": line["n"], "score": 3 if _facts(line) else 0} for line in lines]
        return {"scores": scores}
    if wanted == {"facts"}:
        return {"facts": [fact for line in lines for fact in _facts(line)]}
    assert wanted == {"relations"}, "the stand-in knows the prompts of consolidation only"
    return {"relations": [{"n": line["n"], "relation": "compatible"} for line in lines]}


def _facts(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "content": f"{line['speaker']}: {sentence.strip()}",
            "sources": [line["n"]],
            "keywords": sorted(set(analyze(sentence)))[:5],
        }
        for sentence in _SENTENCE.findall(line["text"])
        if not is_question(sentence) and len(analyze(sentence)) >= _WORDS
    ]
