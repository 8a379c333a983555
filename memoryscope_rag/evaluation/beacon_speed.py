"""How fast a model reads into a beacon memory and answers from it, beside the model itself.

Times are medians of several rounds (:mod:`.rounds`); *stock* is the unchanged model
(:mod:`.stock_model`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from memoryscope_rag.beacon.compressor import Beacons, Compressor, Full
from memoryscope_rag.beacon.encode import Encoder
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.quantize import ENCODINGS
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.files.stored_state import open_state
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.opening import HIGHEST
from memoryscope_rag.beacon.ratios import longest_history
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation.beacon_quality import PASSAGE, state_quality
from memoryscope_rag.evaluation.random_memory import random_memory
from memoryscope_rag.evaluation.report import Figures
from memoryscope_rag.evaluation.rounds import Work, median_seconds
from memoryscope_rag.evaluation.stock_model import StockModel
from memoryscope_rag.ports import Sampling

COVERED = (10_000, 50_000, 100_000)
APPEND = 1_000
TIMES = 5
RATIOS = (2, 4, 8, 16, 32, HIGHEST)
USUAL_RATIO = 4
SPOKEN = 32
"""Tokens of an answer."""
MOST_TEXT = 8192
"""Tokens of the text whose memories are compared."""
COMPARED_WINDOW = 512
"""Their windows, unless beacons were trained for others: a short chat has several of these."""

CONTINUATION = 512
"""The last of them, which the memories are to expect."""

Table = Mapping[str, Figures]
"""Figures of several ways, by their names."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Section:
    """What belongs together: a row of figures for each of several ways."""

    title: str
    rows: Table


@dataclass(frozen=True, slots=True)
class BeaconSpeed:
    """What was measured.

    Attributes:
        device: on which, and how.
        sections: ``reading``, ``appending``, ``answering``, ``files``, ``loading``, ``quality``.
        notes: what a reader must know, such as that beacons were never trained.
    """

    device: str
    sections: Mapping[str, Section]
    notes: tuple[str, ...]


def measure_beacon(
    opened: BeaconEngine,
    text: str,
    *,
    covered: Sequence[int] = COVERED,
    append: int = APPEND,
    times: int = TIMES,
    say: Say = lambda text: None,
) -> BeaconSpeed:
    """All measurements, with the model, the beacons and the windows of ``opened``.

    Args:
        text: what the memories that are compared are of; its first tokens are read.
        covered: tokens that a memory covers when ``append`` more are read.
        times: rounds that each median is taken over.
        say: is told what is being done.

    Raises:
        InvalidInput: the text is too short, or a memory of ``covered`` tokens does not fit.
        ConfigError: windows cannot be compressed at the ratio 4.
        ModelError: the model failed, as for want of memory.
    """
    bench = _Bench(opened, times)
    ids = bench.text_ids(opened.tokenizer(text, add_special_tokens=False)["input_ids"])
    ratio, usual = bench.ratio_for(max(covered) + append), f"beacon {USUAL_RATIO}x"
    read = min(4 * append, bench.capacity // 2)
    say(f"reading {read} tokens")
    reading, memory = bench.reading(read)
    say(f"appending {append} to {', '.join(map(str, covered))} tokens, and answering")
    appending, answering = bench.covering(covered, append, ratio)
    say("writing and loading files")
    sizes = bench.sizes()
    loading = bench.loading(memory, read / reading[usual]["tokens/s"])
    say("comparing what memories hold")
    quality = bench.quality(ids)
    return BeaconSpeed(
        bench.device,
        {
            "reading": Section(f"reading {read} tokens", reading),
            "appending": Section(f"appending {append} tokens, beacon {ratio}x", appending),
            "answering": Section(f"answering, a token, beacon {ratio}x", answering),
            "files": Section("files, kilobytes a token", sizes),
            "loading": Section(f"building and loading {read} tokens, {usual}", loading),
            "quality": Section(
                f"perplexity behind {len(ids) - CONTINUATION} tokens, "
                f"windows of {bench.compared_window}",
                quality,
            ),
        },
        bench.notes(),
    )


class _Bench:
    """One model and what is done with it again and again."""

    def __init__(self, opened: BeaconEngine, times: int) -> None:
        self._model = opened.model
        self._stock = StockModel(opened.model.stock)
        self._weights = opened.encoder.weights
        self._trained = opened.trained and opened.encoder.compressor.uses_beacons
        self._settings = replace(
            opened.encoder.settings,
            ratios=(USUAL_RATIO,),
            sink_size=0,
            skip_first=0,
            skip_last=None,
        )
        self._times = times
        window = self._settings.window
        self.compared_window = window if self._trained else min(window, COMPARED_WINDOW)
        self.capacity = opened.model.capacity
        where = self._where = opened.model.stock.device
        self.device = (
            torch.cuda.get_device_name(where)
            if where.type == "cuda"
            else f"{where.type}, {torch.get_num_threads()} threads"
        )

    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        found = [
            "The memories that are appended to and answered from have random rows: what that costs "
            "depends on their number. Stock has as many rows in its cache.",
            "Loading opens, checks and decodes files that were just written, and makes the rows "
            "ready to be attended to.",
            "Truncation keeps the last tokens, in the bytes of the largest memory of its ratio.",
        ]
        if not self._trained:
            found.append("The beacons were never trained; that changes quality, not speed.")
        return tuple(found)

    def text_ids(self, ids: Sequence[int]) -> Sequence[int]:
        """As many of the first tokens of a text as are compared. Raises InvalidInput."""
        least = 2 * self.compared_window + PASSAGE + CONTINUATION
        used = ids[: min(MOST_TEXT, self.capacity)]
        if len(used) < least:
            raise InvalidInput(
                "text",
                f"is {len(used)} tokens long, must be {least} for windows of "
                f"{self.compared_window}: name a longer one, or take smaller windows",
            )
        return used

    def ratio_for(self, tokens: int) -> int:
        """The lowest ratio at which a memory of so many tokens fits. Raises InvalidInput."""
        window = self._settings.window
        usable = [r for r in RATIOS if r >= USUAL_RATIO and window % r == 0]
        longest = {r: longest_history(window, r, self.capacity - window // r) for r in usable}
        found = next((ratio for ratio in usable if longest[ratio] >= tokens), None)
        if found is None:
            most = max(longest.values(), default=0)
            raise InvalidInput(
                "covered", f"and what is appended are {tokens} tokens; the model takes {most}"
            )
        return found

    # ------------------------------------------------------------ reading and answering

    def reading(self, tokens: int) -> tuple[Table, MemoryState]:
        """Tokens a second, from nothing; and the memory of beacons that was made."""
        ids = self._ids(tokens)
        engines = {
            "full": self._engine(Full(), 0),
            f"select {USUAL_RATIO}x": self._engine(Select(KeyDifference()), USUAL_RATIO),
            f"beacon {USUAL_RATIO}x": self._engine(Beacons(), USUAL_RATIO),
        }
        work: dict[str, Work] = {"stock": partial(self._stock.prefilled, ids)}
        for name, engine in engines.items():
            work[name] = partial(engine.append_ids, engine.empty(), ids)
        seconds = self._medians(work)
        rows = {
            name: {"tokens/s": tokens / spent, "of stock": seconds["stock"] / spent}
            for name, spent in seconds.items()
        }
        last = engines[f"beacon {USUAL_RATIO}x"]
        return rows, last.append_ids(last.empty(), ids)

    def covering(self, covered: Sequence[int], append: int, ratio: int) -> tuple[Table, Table]:
        """Appending to memories of so many tokens, and answering from them."""
        engine = self._engine(Beacons(), ratio, pasts=len(covered))
        states = {n: random_memory(engine.encoder, engine.origin, n) for n in covered}
        caches = {n: self._stock.prefilled(self._ids(s.row_count)) for n, s in states.items()}
        new, prompt = self._ids(append, seed=1), self._ids(1)
        sampling = Sampling(temperature=0.0, max_tokens=SPOKEN)
        to_read: dict[str, Work] = {}
        to_say: dict[str, Work] = {}
        for n, state in states.items():
            to_read[f"{n}"] = partial(engine.append_ids, state, new)
            to_read[f"{n} stock"] = partial(self._stock.read_behind, caches[n], new)
            to_say[f"{n}"] = partial(engine.generate, state, [prompt], sampling)
            to_say[f"{n} stock"] = partial(self._stock.say_behind, caches[n], prompt, SPOKEN)
        read, said = self._medians(to_read), self._medians(to_say)
        first = str(covered[0])
        appending = {
            f"to {n}": {
                "rows": states[n].row_count,
                "ms": 1000 * read[f"{n}"],
                "stock ms": 1000 * read[f"{n} stock"],
                "times stock": read[f"{n}"] / read[f"{n} stock"],
                "growth": read[f"{n}"] / read[first],
                "stock growth": read[f"{n} stock"] / read[f"{first} stock"],
            }
            for n in covered
        }
        answering = {
            f"from {n}": {
                "rows": states[n].row_count,
                "ms": 1000 * said[f"{n}"] / SPOKEN,
                "stock ms": 1000 * said[f"{n} stock"] / SPOKEN,
                "times stock": said[f"{n}"] / said[f"{n} stock"],
            }
            for n in covered
        }
        return appending, answering

    # ------------------------------------------------------------ files and quality

    def sizes(self) -> Table:
        """Kilobytes a token, from files of two windows."""
        window, maker = self._settings.window, Maker("random")
        ratios = [ratio for ratio in RATIOS if window % ratio == 0]
        made: list[tuple[str, Compressor, int]] = [("full", Full(), 0)]
        made += [(f"select {ratio}x", Select(KeyDifference()), ratio) for ratio in ratios]
        made += [(f"beacon {ratio}x", Beacons(), ratio) for ratio in ratios]
        found: dict[str, Figures] = {}
        for name, compressor, ratio in made:
            encoder = self._encoder(compressor, ratio)
            state = random_memory(encoder, maker.origin, 2 * window)
            row: dict[str, float] = {}
            for encoding in ENCODINGS:
                with tempfile.TemporaryDirectory() as folder:
                    stored = save_state(Path(folder), state, maker, encoding)
                    row[encoding] = stored.nbytes / state.tokens / 1000
            found[name] = row
        return found

    def loading(self, state: MemoryState, build_s: float) -> Table:
        """Seconds until the saved ``state`` is ready, a row an encoding."""
        maker = Maker(state.origin)
        with tempfile.TemporaryDirectory() as name:
            folders = {encoding: Path(name, encoding) for encoding in ENCODINGS}
            sizes = {
                encoding: save_state(folder, state, maker, encoding).nbytes
                for encoding, folder in folders.items()
            }

            def load(folder: Path) -> None:
                stored = open_state(folder, maker)
                assert stored is not None
                self._model.past().attach(stored.load(self._where).parts())

            work: dict[str, Work] = {e: partial(load, folder) for e, folder in folders.items()}
            seconds = self._medians(work)
        return {
            encoding: {
                "MB": size / 1e6,
                "build s": build_s,
                "load s": seconds[encoding],
                "build to load": build_s / seconds[encoding],
            }
            for encoding, size in sizes.items()
        }

    def quality(self, ids: Sequence[int]) -> Table:
        """Perplexities, a row a memory."""
        weights = self._weights if self._trained else None
        return {
            f"{one.memory} {one.ratio}x" if one.ratio > 1 else one.memory: {
                "rows": one.rows,
                "MB": one.bytes / 1e6,
                "continuation": one.continuation,
                "passage": one.passage,
            }
            for one in state_quality(
                self._model.stock,
                ids,
                continuation=CONTINUATION,
                window=self.compared_window,
                weights=weights,
            )
        }

    # ------------------------------------------------------------ within

    def _settled(self, ratio: int) -> BeaconSettings:
        return replace(self._settings, ratios=(ratio,))

    def _encoder(self, compressor: Compressor, ratio: int) -> Encoder:
        return Encoder(self._model, self._settled(ratio), compressor)

    def _engine(self, compressor: Compressor, ratio: int, pasts: int = 1) -> BeaconEngine:
        """Without a tokenizer: no answer ends early."""
        return BeaconEngine(
            self._model.stock,
            settings=self._settled(ratio),
            compressor=compressor,
            weights=self._weights if compressor.uses_beacons else None,
            pasts=pasts,
        )

    def _ids(self, count: int, seed: int = 0) -> list[int]:
        """Random tokens."""
        source = torch.Generator().manual_seed(seed)
        vocabulary = self._model.stock.get_input_embeddings().weight.shape[0]
        return torch.randint(0, vocabulary, (count,), generator=source).tolist()

    def _medians(self, work: Mapping[str, Work]) -> dict[str, float]:
        return median_seconds(work, self._times, self._where)
