"""Putting questions to a memory, side by side, until nobody waits for the replies any more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from memoryscope_rag.beacon.decode import Answer
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.memorizing import GivenUp
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.models.chat_prompt import Prompt
from memoryscope_rag.models.decoding import Stopped
from memoryscope_rag.ports import Reply, Sampling, Usage
from memoryscope_rag.replies import split_reasoning


def replies(
    engine: BeaconEngine,
    model: str,
    state: MemoryState,
    asked: Sequence[Prompt],
    sampling: Sampling,
    given_up: GivenUp,
    *,
    repetition_penalty: float | None = None,
) -> list[Reply]:
    """A reply to each of ``asked``, all from ``state``, which is not written to.

    Args:
        model: its name in the replies.

    Raises:
        Stopped: ``given_up`` said so.
        InvalidInput, ModelError: as for :meth:`.BeaconEngine.generate`.
    """
    prompts = [prompt.tokens for prompt in asked]
    found: dict[int, Answer] = {}
    stream = engine.stream(state, prompts, sampling, repetition_penalty=repetition_penalty)
    with closing(stream):
        for piece in stream:
            if given_up():
                raise Stopped
            if piece.answer is not None:
                found[piece.prompt] = piece.answer
    told = []
    for number, prompt in enumerate(asked):
        answer = found[number]
        text, reasoning = split_reasoning(("<think>" if prompt.reasoning else "") + answer.text)
        usage = Usage(len(prompt.tokens), len(answer.tokens))
        told.append(Reply(text.strip(), model, usage, answer.finish, reasoning))
    return told
