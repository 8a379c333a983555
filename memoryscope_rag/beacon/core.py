"""What a beacon memory does, in the calling thread; :mod:`.memory` is the same without waiting."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice
from pathlib import Path

from memoryscope_rag.beacon.asking import replies
from memoryscope_rag.beacon.clue_asking import CLUE_PROMPTS, clues_in
from memoryscope_rag.beacon.echo import Echo, Ground
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.files.gist_files import read_gists, write_gists
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import read_head
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.files.stored_state import StoredState, open_state
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.gist import WINDOW, Gister, GistState, Summarise, longest_gist
from memoryscope_rag.beacon.gist_writers import EngineGists
from memoryscope_rag.beacon.memorizing import GivenUp, Memorizer, Progress
from memoryscope_rag.beacon.options import MemoryOptions, SavedMemory, write_options
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.transcript import transcript_line
from memoryscope_rag.errors import InvalidInput, StoreCorrupt, UnknownId
from memoryscope_rag.models.chat_prompt import Prompt
from memoryscope_rag.models.decoding import USUAL_REPLY
from memoryscope_rag.ports import Reply, Sampling
from memoryscope_rag.schema import Clue, ClueKind, NewMessage, check_name, check_text

LONGEST = 20_000_000
"""Characters of one text."""
BRIEF, LONG = (Sampling(temperature=0.0, max_tokens=n) for n in (128, 512))
"""MemoRAG's lengths: of clues and answers, and of summaries."""
SIDE_BY_SIDE = 4096
"""Tokens of prompts and replies that one call of the model may hold, if there are several."""


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What a memory consists of.

    Attributes:
        trained: whether the compressor does not rest on beacons that were never trained.
        language: of the prompts.
        tokens: raw tokens, instructions included.
        messages: texts and messages.
        blocks: full windows; of *gist* those that were retold.
        rows: what a question attends to, of at most ``capacity``.
        ratio: tokens a row.
        bytes: of the memory, as it is in this process.
        stored_bytes: of its files of rows, when it was saved last.
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
        summarise: retells windows for *gist*; the model itself by default.

    Raises:
        ModelError: the model is no chat model.
        InvalidInput: the window of *gist* is too small.
    """

    def __init__(
        self,
        engine: BeaconEngine,
        options: MemoryOptions,
        prompts: MemoryPrompts,
        zone: tzinfo | None = None,
        summarise: Summarise | None = None,
    ) -> None:
        self.name = Path(options.model).name
        self.state = engine.empty()
        self._engine = engine
        self._options = options
        self._prompts = prompts
        self._zone = zone
        self._frame = Frame(engine.tokenizer, self.name, engine.model.capacity, prompts)
        self._memorizer = Memorizer(engine)
        self._gister: Gister | None = None
        self._gists: GistState | None = None
        if options.compressor == "gist":
            window = options.window or WINDOW
            if summarise is None:
                summarise = EngineGists(engine, self._frame, prompts, longest=longest_gist(window))
            self._gister = Gister(engine, self._frame, summarise, window=window)
        self._echo = Echo(engine.tokenizer)
        self._language = ""
        self._seconds = 0.0
        self._stored: StoredState | None = None

    def stats(self) -> MemoryStats:
        """What the memory consists of."""
        state, gists, engine = self.state, self._gists, self._engine
        tokens = state.tokens if gists is None else gists.head_tokens + gists.tokens
        return MemoryStats(
            model=self.name,
            compressor="gist" if self._gister is not None else engine.encoder.compressor.name,
            trained=engine.trained,
            language=self._language,
            tokens=tokens,
            messages=len(self._message_ids()),
            blocks=len(state.blocks) if gists is None else len(gists.gists),
            rows=state.row_count,
            capacity=engine.model.capacity,
            ratio=tokens / max(1, state.row_count),
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
        state, gists = (self._engine.empty(), None) if anew else (self.state, self._gists)
        known = frozenset[str]() if anew else self._message_ids()
        texts, sample = self._texts(history, source, known)
        language = self._language if state.tokens else self._prompts.language(sample)
        began = time.perf_counter()
        if texts:
            read = [TokenizedMessage(name, self._frame.text(text)) for name, text in texts]
            if self._gister is None:
                head = self._frame.head(language)
                state = self._memorizer.longer(state, head, read, progress, given_up)
            else:
                before = self._gister.empty(language) if gists is None else gists
                gists = self._gister.append(before, read, progress, given_up)
                state = gists.memory
        self.state, self._gists, self._language = state, gists, language
        self._seconds = time.perf_counter() - began + (0.0 if anew else self._seconds)
        return self.stats()

    def forget(self, message_ids: Collection[str], given_up: GivenUp) -> MemoryStats:
        """See :meth:`.BeaconMemory.forget`."""
        if missing := sorted(set(message_ids) - self._message_ids()):
            raise UnknownId("message id", f"{missing[0]!r} is not in this memory")
        began = time.perf_counter()
        if self._gister is None or self._gists is None:
            self.state = self._engine.forget(self.state, message_ids)
        else:
            self._gists = self._gister.forget(self._gists, message_ids, given_up)
            self.state = self._gists.memory
        self._echo = Echo(self._engine.tokenizer)
        self._seconds += time.perf_counter() - began
        return self.stats()

    def rollback(self, blocks: int) -> MemoryStats:
        """See :meth:`.BeaconMemory.rollback`."""
        gists = self._gists
        if self._gister is None or gists is None:
            state = self.state.rollback(blocks)
        else:
            gists = self._gister.rollback(gists, blocks)
            state = gists.memory
        # before the first text there is nothing that could be gone on with
        self.state = state if state.spans else self._engine.empty()
        self._gists = gists if state.spans else None
        return self.stats()

    def save(self, folder: Path, encoding: Encoding) -> MemoryStats:
        """See :meth:`.BeaconMemory.save`."""
        state = self._held()
        saved = SavedMemory(options=self._options, language=self._language, seconds=self._seconds)
        write_options(folder, saved)
        if self._gists is not None:
            write_gists(folder, self._gists.gists)
        before = self._stored
        if before is not None and before.folder != folder:
            before = None
        self._stored = save_state(folder, state, self._maker(), encoding, before)
        return self.stats()

    def restore(self, folder: Path, saved: SavedMemory) -> None:
        """See :meth:`.BeaconMemory.load`."""
        self._language = saved.language
        while True:
            stored = open_state(folder, self._maker())
            if stored is None:
                raise StoreCorrupt(f"{folder} lacks its memory; memorize the texts again")
            state = stored.load(self._engine.model.stock.device)
            try:
                gists = read_gists(folder, state)
                break
            except StoreCorrupt:
                if read_head(folder) == stored.head:
                    raise  # no writer was faster
        if self._gister is not None:
            self._gists = self._gister.restored(state, gists)
        self.state, self._stored, self._seconds = state, stored, saved.seconds

    # ------------------------------------------------------------ asking

    def clues(
        self, queries: Sequence[str], kinds: Sequence[ClueKind], given_up: GivenUp
    ) -> list[tuple[Clue, ...]]:
        """Clues of these kinds for each query, in their order; see :meth:`.BeaconMemory.clues`."""
        state = self._held()
        asked = []
        for query in queries:
            _check_question("query", query)
            language = self._prompts.language(query)
            for kind in kinds:
                prompt = self._prompts.render(CLUE_PROMPTS[kind], language, question=query)
                asked.append(self._question(prompt))
        told = iter(self._replies(state, asked, BRIEF, None, given_up))
        return [
            tuple(
                clue
                for kind, reply in zip(kinds, islice(told, len(kinds)), strict=True)
                for clue in self._clues(state, query, kind, reply)
            )
            for query in queries
        ]

    def answer(self, query: str, given_up: GivenUp) -> Reply:
        """See :meth:`.BeaconMemory.answer`."""
        _check_question("query", query)
        prompt = self._prompts.render("qa", self._prompts.language(query), question=query)
        return self.generate([prompt], BRIEF, None, given_up)[0]

    def summarize(self, given_up: GivenUp) -> Reply:
        """See :meth:`.BeaconMemory.summarize`."""
        self._held()
        prompt = self._prompts.render("sum", self._language)
        return self.generate([prompt], LONG, None, given_up)[0]

    def generate(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        repetition_penalty: float | None,
        given_up: GivenUp,
        *,
        use_memory: bool = True,
    ) -> list[Reply]:
        """See :meth:`.BeaconMemory.generate_each`."""
        for prompt in prompts:
            _check_question("prompt", prompt)
        if use_memory:
            state, asked = self._held(), [self._question(prompt) for prompt in prompts]
        else:
            state = self._engine.empty()
            kept = self._engine.model.capacity - self.longest_prompt(0)
            asked = [self._frame.alone(prompt, kept) for prompt in prompts]
        return self._replies(state, asked, sampling, repetition_penalty, given_up)

    def longest_prompt(self, reply_tokens: int) -> int:
        """See :meth:`.BeaconMemory.longest_prompt`."""
        capacity = self._engine.model.capacity
        return capacity - max(reply_tokens, min(512, capacity // 4))

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """See :meth:`.BeaconMemory.count_tokens`."""
        return [self._frame.length(prompt) for prompt in prompts]

    # ------------------------------------------------------------ within

    def _replies(
        self,
        state: MemoryState,
        asked: Sequence[Prompt],
        sampling: Sampling,
        repetition_penalty: float | None,
        given_up: GivenUp,
    ) -> list[Reply]:
        """A reply to each of ``asked``, short ones side by side: the cost grows with the square."""
        longest = sampling.max_tokens or USUAL_REPLY
        groups: list[list[Prompt]] = []
        room = 0
        for prompt in asked:
            size = len(prompt.tokens) + longest
            if size > room:
                groups.append([])
                room = SIDE_BY_SIDE
            groups[-1].append(prompt)
            room -= size
        return [
            reply
            for some in groups
            for reply in replies(
                self._engine,
                self.name,
                state,
                some,
                sampling,
                given_up,
                repetition_penalty=repetition_penalty,
            )
        ]

    def _clues(
        self, state: MemoryState, query: str, kind: ClueKind, reply: Reply
    ) -> Iterator[Clue]:
        known = (query, self._prompts.get("acknowledged", self._language))
        return clues_in(reply, kind, known, lambda line: self._ground(state, line))

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

    def _message_ids(self) -> frozenset[str]:
        """Of all texts and messages."""
        if self._gists is not None:
            return frozenset(self._gists.message_ids)
        return frozenset(span.message_id for span in self.state.spans)

    def _ground(self, state: MemoryState, line: str) -> Ground:
        ground = self._echo.ground(state, line)
        return ground if self._gists is None else Ground(*self._gists.behind(ground.provenance))

    def _question(self, prompt: str) -> Prompt:
        return self._frame.question(self._language, prompt)

    def _held(self) -> MemoryState:
        if not self.state.tokens:
            raise InvalidInput("memory", "is empty; memorize something first")
        return self.state

    def _maker(self) -> Maker:
        """What a saved memory depends on, the prompt around the text included."""
        around = [self._prompts.get("context", self._language)]
        if self._gister is not None:  # else it would be as one of the compressor full
            around.append(f"gists of {self._options.window} tokens")
        return Maker.of(self._engine, around)


def _check_question(name: str, text: str) -> None:
    if not check_text(name, text).strip():
        raise InvalidInput(name, "is empty")
