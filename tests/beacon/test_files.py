"""A memory on disk is the one that was saved, whatever it consists of, and grows by what is new."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memoryscope_rag.beacon.engine import TokenizedMessage
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import MANIFEST
from memoryscope_rag.beacon.files.quantize import ENCODINGS, Encoding
from memoryscope_rag.beacon.files.state_files import FEWEST, MOST, remove_state, save_state
from memoryscope_rag.beacon.files.stored_state import StoredState, open_state
from memoryscope_rag.beacon.state import MemoryState, Span
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import Sampling
from tests.beacon.conftest import Build, tokens
from tests.beacon.random_states import ORIGIN, empty_state, grown, random_rows
from tests.beacon.states import same

MAKER = Maker(ORIGIN, tokenizer="t", prompt="p")


def opened(folder: Path) -> StoredState:
    found = open_state(folder, MAKER)
    assert found is not None
    return found


def block_files(folder: Path) -> dict[str, int]:
    """Names and inodes of the files of blocks."""
    return {path.name: path.stat().st_ino for path in folder.glob("blocks-*")}


def _with_prefix() -> MemoryState:
    source = torch.Generator().manual_seed(9)
    prefix = replace(
        empty_state(),
        sink=random_rows(source, 6),
        prefix_ids=torch.arange(6, dtype=torch.int32),
        fixed_ratio=4,
    )
    return grown(prefix, 2)


STATES: dict[str, Callable[[], MemoryState]] = {
    "nothing": empty_state,
    "tail": lambda: grown(empty_state(), 0),
    "beacons": lambda: grown(empty_state(), 3),
    "no tail": lambda: grown(empty_state(), 2, tail=0),
    "raw": lambda: grown(empty_state(), 2, ratio=0, repeats=False, compressor="full"),
    "sources": lambda: grown(empty_state(), 2, repeats=False, sources=True, compressor="select"),
    "mixed": lambda: grown(grown(empty_state(), 1, ratio=2), 2, rows=4, ratio=8),
    "prefix": _with_prefix,
    "one layer": lambda: grown(empty_state(layers=1), 2),
    "many": lambda: grown(empty_state(), MOST + 3),
    "bf16": lambda: grown(empty_state(dtype=torch.bfloat16), 2),
}


@pytest.mark.parametrize("name", STATES)
def test_n6_a_memory_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    state = STATES[name]()
    save_state(tmp_path / "m", state, MAKER, "fp32")
    assert opened(tmp_path / "m").load().checksum() == state.checksum()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_n7_the_tail_stays_as_it_is(encoding: Encoding, tmp_path: Path) -> None:
    state = grown(empty_state(), 3)
    save_state(tmp_path, state, MAKER, encoding)
    held = opened(tmp_path).load()
    assert torch.equal(held.tail.keys, state.tail.keys)
    assert torch.equal(held.tail.values, state.tail.values)
    assert held.digest == state.digest
    assert held.spans == state.spans
    for block, loaded in zip(state.blocks, held.blocks, strict=True):
        assert torch.equal(block.ids, loaded.ids)
        cosine = torch.cosine_similarity(block.rows.keys, loaded.rows.keys, dim=-1)
        assert cosine.min() > (0.9 if encoding == "int4" else 0.999)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_n5_layer_0_is_stored_once(encoding: Encoding, tmp_path: Path) -> None:
    beacons = grown(empty_state(layers=4, head_dim=64), 8, rows=128)
    naive = replace(beacons, blocks=tuple(replace(b, repeats=False) for b in beacons.blocks))
    sizes = [
        save_state(tmp_path / name, state, MAKER, encoding).nbytes
        for name, state in (("once", beacons), ("naive", naive))
    ]
    extra = sum(block.ids.nbytes for block in beacons.blocks) + 40_000  # names, shapes, tail
    assert sizes[0] <= sizes[1] * 3 / 4 + extra
    held = opened(tmp_path / "once").load()
    for block in held.blocks:
        assert torch.equal(block.rows.keys[0], block.rows.keys[0, :, :1].expand(-1, 128, -1))


@pytest.mark.parametrize("encoding", ["int8", "int4"])
def test_n7_the_first_keys_of_a_history_stay_and_spoil_no_others(
    encoding: Encoding, tmp_path: Path
) -> None:
    usual, odd = grown(empty_state(), 2), grown(empty_state(), 2)
    odd.blocks[0].rows.keys[1:, :, :2] *= 100
    folders = [tmp_path / "usual", tmp_path / "odd"]
    for folder, state in zip(folders, (usual, odd), strict=True):
        save_state(folder, state, MAKER, encoding)
    one, other = (opened(folder).load().blocks[0].rows.keys for folder in folders)
    assert torch.equal(other[:, :, :4], odd.blocks[0].rows.keys[:, :, :4])
    assert torch.equal(one[:, :, 4:], other[:, :, 4:])


def test_n7_integers_are_smaller(tmp_path: Path) -> None:
    state = grown(empty_state(layers=8, head_dim=64), 8, rows=128, tail=0)
    sizes = {
        encoding: save_state(tmp_path / encoding, state, MAKER, encoding).nbytes
        for encoding in ENCODINGS
    }
    ids = sum(block.ids.nbytes for block in state.blocks)
    rows = {encoding: size - ids for encoding, size in sizes.items()}
    assert rows["bf16"] >= 1.9 * rows["int8"]
    assert rows["bf16"] >= 3.4 * rows["int4"]


def test_n6_nothing_is_there_before_it_is_saved(tmp_path: Path) -> None:
    assert open_state(tmp_path / "m", MAKER) is None
    remove_state(tmp_path / "m")


def test_n6_an_append_leaves_the_files_of_before_alone(tmp_path: Path) -> None:
    state, seen = empty_state(), dict[str, int]()
    for number in range(1, FEWEST + 1):
        state = grown(state)
        saved = save_state(tmp_path, state, MAKER, "int8")
        now = block_files(tmp_path)
        assert seen.items() <= now.items()
        assert (saved.generation, len(now)) == (number, number)
        seen = now
    assert save_state(tmp_path, grown(state, 0, seed=1), MAKER, "int8").generation == number + 1
    assert block_files(tmp_path) == seen
    assert len(list(tmp_path.glob("open-*"))) == 1


def test_n6_small_files_are_joined_and_what_they_hold_stays(tmp_path: Path) -> None:
    state = empty_state()
    folder, whole = tmp_path / "grown", tmp_path / "at once"
    for number in range(40):
        state = grown(state)
        saved = save_state(folder, state, MAKER, "int4")
        assert len(saved.files) <= number / FEWEST + FEWEST
    save_state(whole, replace(state, spans=()), MAKER, "int4")
    held = replace(opened(folder).load(), spans=())
    # as encoded once, not over and over
    assert held.checksum() == opened(whole).load().checksum()


def test_n6_what_was_rolled_back_is_in_no_file(tmp_path: Path) -> None:
    long = grown(empty_state(), 6, message="secret")
    save_state(tmp_path, long, MAKER, "fp32")
    shorter = grown(long.rollback(2), 3, seed=5)
    save_state(tmp_path, shorter, MAKER, "fp32")
    assert opened(tmp_path).load().checksum() == shorter.checksum()
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    gone = [block.ids for block in long.blocks[2:]] + [long.tail_ids]
    assert not any(ids.numpy().tobytes() in data for ids in gone)
    assert all(block.ids.numpy().tobytes() in data for block in long.blocks[:2])


def test_n6_another_encoding_writes_all_blocks_anew(tmp_path: Path) -> None:
    state = grown(empty_state(), 3)
    save_state(tmp_path, state, MAKER, "int4")
    save_state(tmp_path, state, MAKER, "fp32")
    assert opened(tmp_path).load().checksum() == state.checksum()


def test_n9_a_reader_keeps_its_generation(tmp_path: Path) -> None:
    first = grown(empty_state(), 2)
    old = save_state(tmp_path, first, MAKER, "fp32")
    save_state(tmp_path, grown(empty_state(), 3, seed=7), MAKER, "fp32")
    assert old.load().checksum() == first.checksum()
    remove_state(tmp_path)
    assert old.load().checksum() == first.checksum()


def test_n9_blocks_that_are_known_are_not_loaded_again(tmp_path: Path) -> None:
    state = grown(empty_state(), 2)
    save_state(tmp_path, state, MAKER, "int8")
    one = opened(tmp_path).load()
    save_state(tmp_path, grown(one), MAKER, "int8")
    two = opened(tmp_path).load(known=one)
    assert [block in one.blocks for block in two.blocks] == [True, True, False]


def test_n6_files_are_for_their_owner_and_removed_whole(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    save_state(folder, grown(empty_state(), 2), MAKER)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    remove_state(folder)
    assert not folder.exists()


def test_n6_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    save_state(tmp_path, grown(empty_state(), 2), MAKER)
    save_state(tmp_path, grown(empty_state(), 1), MAKER)
    remove_state(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_n6_spans_come_back(tmp_path: Path) -> None:
    state = grown(empty_state(), 2)
    spans = (Span("früh", 0, 3), Span("7", 3, 3), Span("a\nb", 10, state.tokens))
    save_state(tmp_path, replace(state, spans=spans), MAKER)
    assert opened(tmp_path).load().spans == spans


def test_n6_a_state_of_another_maker_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="was made by ffff"):
        save_state(tmp_path, empty_state("ffff"), MAKER)
    assert not (tmp_path / MANIFEST).exists()


def test_n6_spans_that_overlap_are_not_saved(tmp_path: Path) -> None:
    state = replace(grown(empty_state(), 2), spans=(Span("a", 0, 9), Span("b", 8, 12)))
    with pytest.raises(InvalidInput, match="a span is out of order"):
        save_state(tmp_path, state, MAKER)
    assert open_state(tmp_path, MAKER) is None


# ---------------------------------------------------------------- with a model


@pytest.mark.parametrize("prefix", [0, 10])
def test_n5_a_loaded_memory_goes_on_like_the_one_that_was_saved(
    prefix: int, build: Build, tmp_path: Path
) -> None:
    engine = build(ratios=(2, 4), skip_first=prefix)
    maker = Maker.of(engine, ["{}"])
    first = engine.append(engine.empty(), [TokenizedMessage("a", tokens(150))])
    save_state(tmp_path, first, maker, "fp32")
    found = open_state(tmp_path, maker)
    assert found is not None
    loaded = found.load()
    assert loaded.checksum() == first.checksum()
    more = [TokenizedMessage("b", tokens(60, seed=1))]
    assert same(engine.append(loaded, more), engine.append(first, more)) == 0.0
    sampling = Sampling(temperature=0.0, max_tokens=12)
    answers = [engine.generate(state, [[5, 6]], sampling)[0].tokens for state in (first, loaded)]
    assert answers[0] == answers[1]


def test_p22_loading_reads_no_token_again(build: Build, tmp_path: Path) -> None:
    engine = build()
    save_state(tmp_path, engine.append_ids(engine.empty(), tokens(150)), Maker.of(engine))
    read = engine.stats
    stored = open_state(tmp_path, Maker.of(engine))
    assert stored is not None
    engine.generate(stored.load(), [[5, 6]], Sampling(temperature=0.0, max_tokens=3))
    assert engine.stats == read


def test_n10_a_maker_changes_with_its_tokenizer_and_prompts(build: Build) -> None:
    engine = build()
    maker = Maker.of(engine, ["{}"])
    assert maker.origin == engine.origin
    assert maker.differences(Maker.of(engine, ["{}"])) == ()
    assert maker.differences(Maker.of(engine, ["<{}>"])) == ("prompt",)
    engine.tokenizer("x", padding="max_length", truncation=True, max_length=4)
    assert maker.differences(Maker.of(engine, ["{}"])) == ()
    engine.tokenizer.add_tokens(["<new>"])
    assert maker.differences(Maker.of(engine, ["{}"])) == ("tokenizer",)
    assert maker.differences(Maker.of(build(ratios=(8,)), ["{}"])) == ("origin",)
