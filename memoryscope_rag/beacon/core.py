"""What a beacon memory does, in the calling thread; :mod:`.memory` is the same without waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from memoryscope_rag.beacon.clues import clue_lines
from memoryscope_rag.beacon.decode import Answer
from memoryscope_rag.beacon.echo import Echo
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.files.stored_state import StoredState, open_state
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.memorizing import Memorizer, Progress
from memoryscope_rag.beacon.options import MemoryOptions, SavedMemory, write_options
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.transcript import transcript_line
from memoryscope_rag.errors import InvalidInput, StoreCorrupt, UnknownId
from memoryscope_rag.models.chat_prompt import Prompt
from memoryscope_rag.models.decoding import Stopped
from memoryscope_rag.ports import Reply, Sampling, Usage
from memoryscope_rag.replies import split_reasoning
from memoryscope_rag.schema import Clue, NewMessage, check_name, check_text

ClueKind = Literal["span", "surrogate", "draft"]
GivenUp = Callable[[], bool]
"""Says whether anybody still waits for the result."""
LONGEST = 20_000_000
"""Characters of one text."""
_KEYS: Final[Mapping[ClueKind, str]] = MappingProxyType(
    {"span": "span", "surrogate": "sur", "draft": "qa"}
)
BRIEF, LONG = (Sampling(temperature=0.0, max_tokens=n) for n in (128, 512))
"""MemoRAG's lengths: of clues and answers, and of summaries."""


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What a memory consists of.

    Attributes:
        trained: whether the compressor does not rest on beacons that were never trained.
        language: of the prompts.
        tokens: raw tokens, instructions included.
        messages: texts and messages.
        blocks: full windows.
        rows: what a question attends to, of at most ``capacity``.
        ratio: tokens a row.
        bytes: of the memory, as it is in this process.
        stored_bytes: of its files, when it was saved last.
        seconds: spent reading.
    """

    model: str
    compressor: str
    trained: bool
    language: str
    tokens: int
    messages: int
    blocks: int
    rows: int
    capacity: int
    ratio: float
    bytes: int
    stored_bytes: int
    seconds: float


class MemoryCore:
    """A memory and its model. For one thread at a time; what fails changes nothing.

    Args:
        zone: in which the times of messages are written; ``None``: as they have them.

    Raises:
        ModelError: the model is no chat model.
    """

    def __init__(
        self,
        engine: BeaconEngine,
        options: MemoryOptions,
        prompts: MemoryPrompts,
        zone: tzinfo | None = None,
    ) -> None:
        self.name = Path(options.model).name
        self.state = engine.empty()
        self._engine = engine
        self._options = options
        self._prompts = prompts
        self._zone = zone
        self._frame = Frame(engine.tokenizer, self.name, engine.model.capacity, prompts)
        self._memorizer = Memorizer(engine)
        self._echo = Echo(engine.tokenizer)
        self._language = ""
        self._seconds = 0.0
        self._stored: StoredState | None = None

    def stats(self) -> MemoryStats:
        """What the memory consists of."""
        state, engine = self.state, self._engine
        return MemoryStats(
            model=self.name,
            compressor=engine.encoder.compressor.name,
            trained=engine.trained,
            language=self._language,
            tokens=state.tokens,
            messages=len({span.message_id for span in state.spans}),
            blocks=len(state.blocks),
            rows=state.row_count,
            capacity=engine.model.capacity,
            ratio=state.tokens / max(1, state.row_count),
            bytes=state.nbytes,
            stored_bytes=0 if self._stored is None else self._stored.nbytes,
            seconds=self._seconds,
        )

    # ------------------------------------------------------------ what is remembered

    def take_in(
        self,
        history: str | Sequence[NewMessage],
        source: str,
        progress: Progress,
        given_up: GivenUp,
        *,
        anew: bool,
    ) -> MemoryStats:
        """See :meth:`.BeaconMemory.memorize` (``anew``) and :meth:`.BeaconMemory.append`."""
        state = self._engine.empty() if anew else self.state
        texts, sample = self._texts(history, source, {span.message_id for span in state.spans})
        language = self._language if state.tokens else self._prompts.language(sample)
        began = time.perf_counter()
        if texts:
            read = [TokenizedMessage(name, self._frame.text(text)) for name, text in texts]
            head = self._frame.head(language)
            state = self._memorizer.longer(state, head, read, progress, given_up)
        self.state, self._language = state, language
        self._seconds = time.perf_counter() - began + (0.0 if anew else self._seconds)
        return self.stats()

    def forget(self, message_ids: Collection[str]) -> MemoryStats:
        """See :meth:`.BeaconMemory.forget`."""
        known = {span.message_id for span in self.state.spans}
        if missing := sorted(set(message_ids) - known):
            raise UnknownId("message id", f"{missing[0]!r} is not in this memory")
        began = time.perf_counter()
        self.state = self._engine.forget(self.state, message_ids)
        self._echo = Echo(self._engine.tokenizer)
        self._seconds += time.perf_counter() - began
        return self.stats()

    def rollback(self, blocks: int) -> MemoryStats:
        """See :meth:`.BeaconMemory.rollback`."""
        state = self.state.rollback(blocks)
        # before the first text there is nothing that could be gone on with
        self.state = state if state.spans else self._engine.empty()
        return self.stats()

    def save(self, folder: Path, encoding: Encoding) -> MemoryStats:
        """See :meth:`.BeaconMemory.save`."""
        state = self._held()
        saved = SavedMemory(options=self._options, language=self._language, seconds=self._seconds)
        write_options(folder, saved)
        before = self._stored
        if before is not None and before.folder != folder:
            before = None
        self._stored = save_state(folder, state, self._maker(), encoding, before)
        return self.stats()

    def restore(self, folder: Path, saved: SavedMemory) -> None:
        """See :meth:`.BeaconMemory.load`."""
        self._language = saved.language
        stored = open_state(folder, self._maker())
        if stored is None:
            raise StoreCorrupt(f"{folder} lacks its memory; memorize the texts again")
        self.state = stored.load(self._engine.model.stock.device)
        self._stored, self._seconds = stored, saved.seconds

    # ------------------------------------------------------------ asking

    def clues(self, query: str, kinds: Sequence[ClueKind], given_up: GivenUp) -> tuple[Clue, ...]:
        """Clues of these kinds, in their order; see :meth:`.BeaconMemory.clues`."""
        _check_question("query", query)
        state, language = self._held(), self._prompts.language(query)
        known = (query, self._prompts.get("acknowledged", self._language))
        asked = [
            self._question(self._prompts.render(_KEYS[kind], language, question=query))
            for kind in kinds
        ]
        replies = self._replies(state, asked, BRIEF, None, given_up)
        found = []
        for kind, reply in zip(kinds, replies, strict=True):
            text = " ".join(reply.text.split()) if kind == "draft" else reply.text
            for line in clue_lines(text, cut=reply.finish == "length", known=known):
                ground = self._echo.ground(state, line)
                if ground.provenance or kind != "span":
                    found.append(Clue(line, kind, 1.0, ground.provenance, ground.blocks))
        return tuple(found)

    def answer(self, query: str, given_up: GivenUp) -> Reply:
        """See :meth:`.BeaconMemory.answer`."""
        _check_question("query", query)
        prompt = self._prompts.render("qa", self._prompts.language(query), question=query)
        return self.generate(prompt, BRIEF, None, given_up)

    def summarize(self, given_up: GivenUp) -> Reply:
        """See :meth:`.BeaconMemory.summarize`."""
        self._held()
        prompt = self._prompts.render("sum", self._language)
        return self.generate(prompt, LONG, None, given_up)

    def generate(
        self,
        prompt: str,
        sampling: Sampling,
        repetition_penalty: float | None,
        given_up: GivenUp,
        *,
        use_memory: bool = True,
    ) -> Reply:
        """See :meth:`.BeaconMemory.generate`."""
        _check_question("prompt", prompt)
        if use_memory:
            state, asked = self._held(), self._question(prompt)
        else:
            state = self._engine.empty()
            asked = self._frame.alone(prompt, min(512, self._engine.model.capacity // 4))
        return self._replies(state, [asked], sampling, repetition_penalty, given_up)[0]

    # ------------------------------------------------------------ within

    def _texts(
        self, history: str | Sequence[NewMessage], source: str, known: Collection[str]
    ) -> tuple[list[tuple[str, str]], str]:
        """(id and text of each that is new, a sample of what they say)."""
        if isinstance(history, str):
            check_text("text", history, limit=LONGEST)
            if not history.strip():
                raise InvalidInput("text", "is empty")
            if check_name("source", source) in known:
                raise InvalidInput("source", f"{source!r} is in this memory already")
            return [(source, f"{history.strip()}\n\n")], history
        new = {message.id: message for message in history if message.id not in known}
        lines = [(name, transcript_line(message, self._zone)) for name, message in new.items()]
        return lines, "\n".join(message.content for message in new.values())

    def _question(self, prompt: str) -> Prompt:
        return self._frame.question(self._language, prompt)

    def _replies(
        self,
        state: MemoryState,
        asked: Sequence[Prompt],
        sampling: Sampling,
        repetition_penalty: float | None,
        given_up: GivenUp,
    ) -> list[Reply]:
        """A reply to each of ``asked``, side by side."""
        prompts = [prompt.tokens for prompt in asked]
        found: dict[int, Answer] = {}
        stream = self._engine.stream(
            state, prompts, sampling, repetition_penalty=repetition_penalty
        )
        with closing(stream):
            for piece in stream:
                if given_up():
                    raise Stopped
                if piece.answer is not None:
                    found[piece.prompt] = piece.answer
        replies = []
        for number, prompt in enumerate(asked):
            answer = found[number]
            text, reasoning = split_reasoning(("<think>" if prompt.reasoning else "") + answer.text)
            usage = Usage(len(prompt.tokens), len(answer.tokens))
            replies.append(Reply(text.strip(), self.name, usage, answer.finish, reasoning))
        return replies

    def _held(self) -> MemoryState:
        if not self.state.tokens:
            raise InvalidInput("memory", "is empty; memorize something first")
        return self.state

    def _maker(self) -> Maker:
        """What a saved memory depends on, the prompt around the text included."""
        return Maker.of(self._engine, [self._prompts.get("context", self._language)])


def _check_question(name: str, text: str) -> None:
    if not check_text(name, text).strip():
        raise InvalidInput(name, "is empty")
