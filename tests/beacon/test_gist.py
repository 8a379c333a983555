"""Memories of gists: what is retold when, and what is in the memory for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.gist import (
    LONGEST,
    TOGETHER,
    WINDOW,
    Gister,
    GistState,
    Summarise,
    gist_digest,
    gist_id,
    longest_gist,
)
from memoryscope_rag.beacon.gist_writers import (
    EngineGists,
    GeneratorGists,
    batch_size,
    free_bytes,
)
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.errors import InvalidInput, MalformedReply, ModelError
from memoryscope_rag.models.decoding import Stopped
from memoryscope_rag.testing.fakes import ScriptedGenerator
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import Build, tiny
from tests.beacon.states import same

TOKENIZER = tiny_tokenizer()


@dataclass
class FirstWords:
    """Retells a text by its first eight characters; notes what it was given."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, texts: Sequence[str], stopped: Callable[[], bool]) -> list[str]:
        self.asked += texts
        return [text[:8] for text in texts]


@dataclass
class Ground:
    """An engine that keeps everything, with what goes around it."""

    prompts: MemoryPrompts = field(default_factory=MemoryPrompts.load)
    engine: BeaconEngine = field(
        default_factory=lambda: BeaconEngine(
            tiny(max_position_embeddings=4096),
            TOKENIZER,
            settings=BeaconSettings(window=64, ratios=(0,)),
            compressor=Full(),
        )
    )

    @property
    def frame(self) -> Frame:
        return Frame(TOKENIZER, "tiny", 4096, self.prompts)

    def gister(self, summarise: Summarise, window: int = 40) -> Gister:
        return Gister(self.engine, self.frame, summarise, window=window)


@pytest.fixture
def ground() -> Ground:
    return Ground()


def message(name: str, text: str) -> TokenizedMessage:
    return TokenizedMessage(name, TOKENIZER(text, add_special_tokens=False)["input_ids"])


def said(ground: Ground, state: GistState) -> str:
    """What the memory holds after its head, as text."""
    head = len(ground.frame.head("en"))
    return str(TOKENIZER.decode(state.memory.token_ids(head)))


def test_p16_full_windows_are_retold_and_the_rest_stays(ground: Ground) -> None:
    words = FirstWords()
    gister = ground.gister(words)
    text = "".join(f"{number:03} " for number in range(25))  # a hundred characters

    state = gister.append(gister.empty("en"), [message("m", text)])
    assert words.asked == [text[:40], text[40:80]]
    assert [gist.text for gist in state.gists] == ["000 001", "010 011"]
    assert [gist.tokens for gist in state.gists] == [40, 40]
    assert said(ground, state) == f"000 001\n010 011\n{text[80:]}"
    assert state.tokens == 100
    ids = [span.message_id for span in state.memory.spans]
    assert ids == [*(gist_id(number, gist) for number, gist in enumerate(state.gists)), "m"]
    assert gist_digest(ids[0]) != gist_digest(ids[1])
    assert gist_digest("m") is None
    assert state.behind({ids[1], "m"}) == (("m",), (1,))
    # nothing of what is there is retold or read again
    before = ground.engine.stats.tokens
    longer = gister.append(state, [message("n", "x" * 30)])
    assert words.asked[2:] == [f"{text[80:]}{'x' * 20}"]
    assert longer.gists[2].message_ids == ("m", "n")
    assert longer.gists[:2] == state.gists
    assert ground.engine.stats.tokens - before == len("020 021\n") + 10
    assert said(ground, state) == f"000 001\n010 011\n{text[80:]}"


def test_any_split_gives_one_memory(ground: Ground) -> None:
    text = "It was told that the ferry leaves at nine, and that nobody waits. " * 5
    every = [message(f"m{n}", text[n * 33 : (n + 1) * 33]) for n in range(10)]
    draws = random.Random(3)

    gister = ground.gister(FirstWords())
    expected = gister.append(gister.empty("en"), every)
    for _ in range(5):
        state = gister.empty("en")
        left = list(every)
        while left:
            count = draws.randint(1, len(left))
            state = gister.append(state, left[:count])
            left = left[count:]
        assert state.gists[-1].text == expected.gists[-1].text
        assert state.tail == expected.tail
        assert torch.equal(state.memory.token_ids(), expected.memory.token_ids())
        names = [span.message_id for span in state.memory.spans]
        assert list(dict.fromkeys(names)) == [s.message_id for s in expected.memory.spans]


def test_no_character_is_cut(ground: Ground) -> None:
    words = FirstWords()
    gister = ground.gister(words)
    text = "a" + "记忆可以很长" * 10  # three tokens a character

    state = gister.append(gister.empty("zh"), [message("m", text)])
    assert [gist.tokens for gist in state.gists] == [40, 39, 39, 39]
    assert "\ufffd" not in "".join(words.asked)
    assert text.startswith("".join(words.asked))
    assert state.tokens == 181


def test_what_is_forgotten_was_never_there(ground: Ground) -> None:
    every = [message(f"m{n}", f"{n}" * 30) for n in range(6)]

    gister = ground.gister(FirstWords())
    state = gister.append(gister.empty("en"), every)
    for gone in ({"m2"}, {"m5"}, {"m0", "m4"}, {f"m{n}" for n in range(6)}):
        words = FirstWords()
        other = ground.gister(words)
        left = other.forget(state, gone)
        stays = [one for one in every if one.message_id not in gone]
        expected = gister.append(gister.empty("en"), stays)
        assert said(ground, left) == said(ground, expected)
        assert same(left.memory, expected.memory) <= 1e-5
        assert not any(str(name[1]) in "".join(words.asked) for name in gone)
    assert gister.forget(state, {"nobody"}) is state
    late = FirstWords()
    ground.gister(late).forget(state, {"m5"})
    assert late.asked == []  # it is in the tail alone


@pytest.mark.parametrize("told", [[""], [], ["a", "b"]], ids=len)
def test_a_window_that_is_not_retold_is_an_error(told: list[str], ground: Ground) -> None:
    def summarise(texts: Sequence[str], stopped: Callable[[], bool]) -> list[str]:
        return told

    gister = ground.gister(summarise)
    state = gister.empty("en")
    with pytest.raises(MalformedReply, match="1 windows were to be retold"):
        gister.append(state, [message("m", "x" * 50)])


def test_engines_that_do_not_suit_are_refused(ground: Ground, build: Build) -> None:
    with pytest.raises(InvalidInput, match="full"):
        Gister(build(), ground.frame, FirstWords())
    with pytest.raises(InvalidInput, match="window"):
        ground.gister(FirstWords(), window=8)


def test_p16_a_book_of_120_000_tokens_takes_a_third_of_a_gigabyte() -> None:
    rows = 120_000 // WINDOW * LONGEST + WINDOW - 1
    assert longest_gist(WINDOW) == LONGEST
    bytes_a_row = 2 * 28 * 2 * 128 * 2  # Qwen2.5-1.5B in bfloat16
    assert rows * bytes_a_row <= 0.35e9


# ---------------------------------------------------------------- who retells


def test_a_chat_model_is_asked_in_the_language_of_the_text() -> None:
    prompts = MemoryPrompts.load()
    texts = ["The ferry leaves at nine.", "渡轮九点出发，没有人等。"]
    generator = ScriptedGenerator(["one", "二"])
    found = retold_by(generator, texts, longest=77)
    assert found == ["one", "二"]
    for asked, language, text in zip(generator.history, ["en", "zh"], texts, strict=True):
        assert asked[0].content == prompts.render("gist", language, context=text)
    assert {(one.max_tokens, one.temperature) for one in generator.samplings} == {(77, 0.0)}


def test_a_failing_chat_model_ends_the_other_calls() -> None:
    replies: list[Any] = [ModelError("down"), *["late"] * 9]
    generator = ScriptedGenerator(replies, delay=0.01)
    with pytest.raises(ModelError, match="down"):
        retold_by(generator, ["text"] * 10, together=2)
    assert generator.calls <= 4


def test_a_chat_model_that_nobody_waits_for_is_left(ground: Ground) -> None:
    slow = ScriptedGenerator(["late"], delay=3600)
    with pytest.raises(Stopped):
        retold_by(slow, ["text"], stopped=lambda: True)
    loop = asyncio.new_event_loop()
    with pytest.raises(ModelError, match="event loop"):
        GeneratorGists(slow, ground.prompts, loop)(["text"], lambda: False)
    loop.close()
    own = EngineGists(ground.engine, ground.frame, ground.prompts)
    with pytest.raises(Stopped):
        own(["text"], lambda: True)


def retold_by(
    generator: ScriptedGenerator,
    texts: Sequence[str],
    stopped: Callable[[], bool] = lambda: False,
    **settings: int,
) -> list[str]:
    """By a chat model in an event loop, from another thread."""

    async def run() -> list[str]:
        loop = asyncio.get_running_loop()
        writer = GeneratorGists(generator, MemoryPrompts.load(), loop, **settings)
        found = await asyncio.to_thread(writer, texts, stopped)
        return list(found)

    return asyncio.run(run())


def test_p16_the_memorys_own_model_retells_alike_in_any_batch(ground: Ground) -> None:
    texts = ["Anna sails to Malmö.", "Ben stays.", "Carla reads a long book about ferries."]

    def retold(free: int | None) -> list[str]:
        writer = EngineGists(ground.engine, ground.frame, ground.prompts, longest=12, free=free)
        return writer(texts, lambda: False)

    one_by_one = retold(0)
    assert len(one_by_one) == 3
    assert retold(1 << 40) == one_by_one
    assert retold(None) == one_by_one


def test_p16_the_batch_is_defined_for_any_amount_of_memory() -> None:
    stock = tiny()
    sizes = [batch_size(stock, 4352, 1 << power) for power in range(45)]
    assert sizes[0] == 1
    assert sizes[-1] == TOGETHER
    assert sizes == sorted(sizes)
    assert batch_size(stock, 4352, 0) == 1
    assert free_bytes(torch.device("cpu")) > 0
