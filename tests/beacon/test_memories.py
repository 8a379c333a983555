"""The beacon memories of all scopes, on tiny models. Rows N1, N10, N11 and N12 by name."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memoryscope_rag.beacon.history_files import HistoryFiles
from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.errors import ConfigError, InvalidInput, ModelError, StoreCorrupt
from memoryscope_rag.ports import Coverage, HistoryMemory
from memoryscope_rag.schema import Clue
from tests.beacon.memories import (
    ANN,
    BOB,
    SAYS,
    Step,
    but,
    checksums,
    config,
    finished,
    made,
    said,
    states,
    written,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("taught") / "taught", says=SAYS)


# ---------------------------------------------------------------- what is covered


def test_what_is_written_is_covered_and_asked(taught: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories: HistoryMemory = BeaconMemories(config(taught), tmp_path)
        assert memories.model == "taught"
        assert await memories.coverage(ANN) == Coverage()
        assert await memories.clues(ANN, "Who is fast?", ["span"]) == ()
        assert await memories.attention(ANN, "Who is fast?") == {}
        messages = said(12)
        messages[4] = but(messages[4], content="Jack wins every race.")
        after = await memories.write(ANN, messages, keep=0)
        assert after == await memories.coverage(ANN)
        assert after.message_ids == tuple(f"m{n}" for n in range(12))
        assert after.seconds > 0
        state = (await states(memories))[""]  # type: ignore[arg-type]
        assert (after.tokens, after.rows) == (state.tokens, state.row_count)
        assert after.tail_tokens == len(state.tail_ids)
        assert [block.tokens for block in after.blocks] == [64] * len(state.blocks)
        assert [block.message_ids for block in after.blocks] == [
            state.messages_of(number) for number in range(len(state.blocks))
        ]
        found = await memories.clues(ANN, "Who is fast?", ["draft", "surrogate", "span"])
        assert [clue.kind for clue in found] == ["draft", "surrogate", "span"]
        assert found[2] == Clue(SAYS, "span", 1.0, found[2].provenance, found[2].blocks)
        assert found[2].provenance == ("m4",)
        assert await memories.clues(BOB, "Who is fast?", ["span"]) == ()
        assert await memories.clues(ANN, "Who?", []) == ()
        with pytest.raises(InvalidInput, match="query: is empty"):
            await memories.clues(ANN, " ", ["span"])
        mass = await memories.attention(ANN, "Who is fast?")
        assert sorted(mass) == sorted(after.message_ids)
        assert await memories.attention(BOB, "Who is fast?") == {}
        await memories.close()
        await memories.close()
        # another one over the same folder knows all of it, and opens no model for the coverage
        again = BeaconMemories(config(taught), tmp_path)
        assert await again.coverage(ANN) == after
        assert again._opened is None
        assert await again.clues(ANN, "Who is fast?", ["span"]) == found[2:]
        assert await again.attention(ANN, "Who is fast?") == mass
        await again.close()

    finished(run())


def test_a_write_says_what_is_wrong_and_changes_nothing(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(6))])
        before = await checksums(memories)
        with pytest.raises(InvalidInput, match="keep: is 7, the memory covers 6 messages"):
            await memories.write(ANN, [], keep=7)
        with pytest.raises(InvalidInput, match="'m5' is in the memory already"):
            await memories.write(ANN, said(2, first=5), keep=6)
        with pytest.raises(InvalidInput, match="'m6' is in the memory already"):
            await memories.write(ANN, said(1, first=6) * 2, keep=6)
        with pytest.raises(InvalidInput, match="of another scope"):
            await memories.write(ANN, said(1, first=6, scope=BOB), keep=6)
        long = said(1, first=6)[0]
        endless = [but(long, content="x " * 150_000)]
        with pytest.raises(ModelError, match="does not fit the model"):
            await memories.write(ANN, endless, keep=6)
        assert await checksums(memories) == before
        await memories.close()

    finished(run())


def test_settings_that_make_no_sense_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'memory\.model' names its model"):
        BeaconMemories(config(tiny).model_copy(update={"model": None}), tmp_path)
    with pytest.raises(ConfigError, match="the compressor full makes nothing smaller"):
        BeaconMemories(config(tiny, compressor="full", budget_mb=1), tmp_path)
    with pytest.raises(ConfigError, match=r"config\.json: these are no heads"):
        BeaconMemories(config(tiny, heads=tiny / "config.json"), tmp_path)
    with pytest.raises(ConfigError, match="cannot read heads"):
        BeaconMemories(config(tiny, heads=tiny / "none.json"), tmp_path)


def test_without_heads_no_session_is_kept_and_one_warning_says_why(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        memories = await written(config(tiny, heads=None), tmp_path, [(0, said(8))])
        with caplog.at_level(logging.WARNING):
            assert await memories.attention(ANN, "Who?") == {}
            assert await memories.attention(ANN, "Who?") == {}
        assert [record.getMessage().count("bench readout") for record in caplog.records] == [1]
        assert list(await states(memories)) == [""]
        await memories.close()
        caplog.clear()
        quiet = await written(config(tiny, read=False), tmp_path / "quiet", [(0, said(8))])
        assert await quiet.attention(ANN, "Who?") == {}
        assert not caplog.records
        await quiet.close()

    finished(run())


# ---------------------------------------------------------------- the same, however it was made


@pytest.mark.parametrize("encoding", ["int8", "bf16"])
@pytest.mark.parametrize("compressor", ["select", "full"])
def test_n1_any_writes_give_what_the_same_writes_give_anew(
    compressor: str, encoding: str, tiny: Path, tmp_path: Path
) -> None:
    """Random splits; at times something is taken back; the files are opened again and again."""
    settings = config(tiny, compressor=compressor, encoding=encoding)

    async def run() -> None:
        for seed in range(3):
            random = Random(seed)
            steps: list[Step] = []
            covered = number = 0
            for _ in range(7):
                keep = covered
                if covered and random.random() < 0.3:
                    keep = random.randrange(covered)
                    number += 1000  # what comes then are other messages
                count = random.randint(1, 6)
                steps.append((keep, said(count, first=number)))
                covered, number = keep + count, number + count
            many = tmp_path / f"{compressor}-{encoding}-{seed}"
            for step in steps:
                memories = await written(settings, many / "opened", [step])
                found = await checksums(memories)
                await memories.close()
            memories = await written(settings, many / "at-once", steps)
            assert await checksums(memories) == found
            assert len(found) > 2
            await memories.close()

    finished(run())


def test_n10_what_is_taken_back_is_as_if_it_had_never_been(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        everything = said(20)
        steps = [(0, everything), (7, everything[8:])]
        memories = await written(config(tiny), tmp_path / "back", steps)
        after = await memories.coverage(ANN)
        assert after.message_ids == tuple(m.id for m in everything if m.id != "m7")
        parts = await states(memories)
        assert not any(span.message_id == "m7" for one in parts.values() for span in one.spans)
        without = [m for m in everything if m.id != "m7"]
        straight = await written(config(tiny), tmp_path / "straight", [(0, without)])
        expected = await states(straight)
        assert parts.keys() == expected.keys()
        for part, one in parts.items():
            assert one.token_ids().tolist() == expected[part].token_ids().tolist()
            assert one.spans == expected[part].spans
        # a session that the change does not touch, and that was there already, is not read again
        kept = await memories.attention(ANN, "Otto?")
        assert kept.keys() == set(after.message_ids)
        assert (await memories.write(ANN, [], keep=3)).message_ids == ("m0", "m1", "m2")
        assert len(await states(memories)) == 2
        assert (await memories.write(ANN, [], keep=0)) == Coverage()
        assert not list(memories._files.own.rglob("*.safetensors"))
        await memories.close()
        await straight.close()

    finished(run())


def test_n10_an_edited_message_is_read_again_in_its_session(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        messages = said(9)
        memories = await written(config(tiny), tmp_path, [(0, messages)])
        edited = but(messages[6], content="It was Porto, I think.")
        await memories.write(ANN, [edited, *messages[7:]], keep=6)
        for state in (await states(memories)).values():
            for span in state.spans:
                if span.message_id == "m6":
                    ids = state.token_ids()[span.start : span.end].tolist()
                    model, _ = await memories._open()
                    assert "It was Porto" in model._engine.tokenizer.decode(ids)
        await memories.close()

    finished(run())


# ---------------------------------------------------------------- other makers


def test_n10_a_changed_setting_builds_beside_and_swaps(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        messages = said(10)
        old = await written(config(tiny), tmp_path, [(0, messages)])
        await written(config(tiny), tmp_path, [(0, said(3, scope=BOB))], BOB)
        new = BeaconMemories(config(tiny, ratio=8), tmp_path)
        assert await new.coverage(ANN) == Coverage()
        await new.write(ANN, messages[:6], keep=0)
        assert len((await old.coverage(ANN)).message_ids) == 10
        await new.write(ANN, messages[6:], keep=6)
        assert await old.coverage(ANN) == Coverage()
        assert len((await old.coverage(BOB)).message_ids) == 3
        # what is taken back in one lies in none
        await old.write(ANN, messages, keep=0)
        assert await new.coverage(ANN) == Coverage()
        await new.write(ANN, messages[:5], keep=0)
        await new.write(ANN, messages[2:4], keep=1)
        assert await old.coverage(ANN) == Coverage()
        assert len((await old.coverage(BOB)).message_ids) == 3
        await new.drop(BOB)
        assert await old.coverage(BOB) == Coverage()
        await old.close()
        await new.close()

    finished(run())


def test_n11_what_is_forgotten_may_lie_in_the_memory_of_another_model(
    tiny: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        messages = said(10)
        old = await written(config(tiny), tmp_path, [(0, messages)])
        new = BeaconMemories(config(tiny, ratio=8), tmp_path)
        await new.write(ANN, messages[:6], keep=0)
        # a message is forgotten that the new memory has not come to yet: it keeps all it has
        assert len((await new.write(ANN, (), keep=6)).message_ids) == 6
        assert await old.coverage(ANN) == Coverage()
        assert len((await new.coverage(ANN)).message_ids) == 6
        await old.close()
        await new.close()

    finished(run())


def test_n10_every_setting_that_matters_has_a_folder_of_its_own(
    tiny: Path, taught: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "en.yaml").write_text("context: 'Keep this in mind: $context'", "utf-8")

    def own(*, prompts: Path | None = None, model: Path = tiny, **settings: Any) -> Path:
        return HistoryFiles(config(model, **settings), tmp_path, prompts, None, None).own

    changed = [
        own(ratio=8),
        own(compressor="full"),
        own(window=128),
        own(encoding="bf16"),
        own(read=False),
        own(prompts=prompts),
        own(model=taught),
    ]
    assert len({own(), *changed}) == 1 + len(changed)
    assert own(threads=2, budget_mb=5, device_mb=16) == own()
    assert own(heads=None) == own(read=False)  # no session is kept


def test_weights_that_changed_unseen_are_another_maker(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(4))])
        own = memories._files.own
        await memories.close()
        other = BeaconMemories(config(tiny, ratio=8), tmp_path)
        own.rename(tmp_path / other._files.own.name)  # as if the folder's name were the same
        assert len((await other.coverage(ANN)).message_ids) == 4
        assert await other.clues(ANN, "Who?", ["draft"]) == ()
        assert await other.coverage(ANN) == Coverage()
        assert await other.attention(ANN, "Who?") == {}
        assert len((await other.write(ANN, said(3), keep=0)).message_ids) == 3
        assert len(await other.attention(ANN, "Who?")) == 3
        await other.close()

    finished(run())


def test_damaged_files_are_told_and_can_be_written_anew(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(8))])
        good = await checksums(memories)
        await memories.close()
        for path in tmp_path.rglob("beacon.json"):
            path.write_text("{}", "utf-8")
        memories = BeaconMemories(config(tiny), tmp_path)
        with pytest.raises(StoreCorrupt):
            await memories.coverage(ANN)
        with pytest.raises(StoreCorrupt):
            await memories.clues(ANN, "Who?", ["span"])
        await memories.drop(ANN)
        assert await memories.coverage(ANN) == Coverage()
        await memories.write(ANN, said(8), keep=0)
        assert await checksums(memories) == good
        await memories.close()

    finished(run())


# ---------------------------------------------------------------- forgetting, budgets


def _holds(folder: Path, needles: list[bytes]) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(needle in path.read_bytes() for needle in needles)]


@pytest.mark.parametrize("encoding", ["int8", "bf16"])
def test_n11_what_is_forgotten_lies_in_no_file_and_in_no_clue(
    encoding: str, tiny: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        messages = said(16)
        secret = "zebra-4711 lives in Quito"
        messages[9] = but(messages[9], content=secret, id="canary-id")
        memories = await written(config(tiny, encoding=encoding), tmp_path, [(0, messages)])
        other = await written(config(tiny, ratio=8), tmp_path, [(0, messages[:12])])
        model, _ = await memories._open()
        ids = model._engine.tokenizer("zebra-4711", add_special_tokens=False)["input_ids"]
        needles = [b"".join(n.to_bytes(4, "little") for n in ids), b"zebra-4711", b"canary-id"]
        await memories.write(BOB, said(5, scope=BOB), keep=0)
        bob = await checksums(memories, BOB)
        assert {needle for needle in needles if _holds(tmp_path, [needle])} >= {
            needles[0],
            needles[2],
        }
        await memories.attention(ANN, "zebra-4711?")
        await memories.write(ANN, [], keep=9)
        assert _holds(tmp_path, needles) == []
        await memories.write(ANN, messages[10:], keep=9)
        assert _holds(tmp_path, needles) == []
        assert "canary-id" not in await memories.attention(ANN, "zebra-4711?")
        for clue in await memories.clues(ANN, "zebra-4711?", ["span", "surrogate", "draft"]):
            assert "canary-id" not in clue.provenance
        assert await checksums(memories, BOB) == bob
        await memories.close()
        await other.close()

    finished(run())


def test_n12_a_scope_stays_within_its_budget(tmp_path: Path) -> None:
    """All its files together; what is recent keeps its ratio; of sessions the last ones stay."""
    model = made(tmp_path / "model", layers=4, head_dim=32)
    budget = 1 << 20
    settings = config(model, budget_mb=1, recent_tokens=300, window=32)

    async def run() -> None:
        memories = BeaconMemories(settings, tmp_path / "files")
        covered: list[int] = []
        for number in range(0, 90, 10):
            after = await memories.write(ANN, said(10, first=number), keep=number)
            assert after.bytes <= 1.05 * budget
            covered.append(after.bytes)
        assert max(covered[-3:]) >= 0.95 * budget
        ratios = [block.ratio for block in after.blocks]
        assert ratios == sorted(ratios, reverse=True)
        recent = (300 - after.tail_tokens) // 32
        assert ratios[0] > 4
        assert ratios[-recent:] == [4] * recent
        mass = await memories.attention(ANN, "Otto?")
        assert "m89" in mass
        assert "m0" not in mass
        assert len(after.message_ids) == 90
        await memories.close()

    finished(run())


def test_the_disk_keeps_whole_scopes(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = BeaconMemories(config(tiny, disk_mb=1), tmp_path)
        for number in range(12):
            scope = type(ANN)(f"user-{number}")
            await memories.write(scope, said(20, scope=scope), keep=0)
        covered = [
            len((await memories.coverage(type(ANN)(f"user-{number}"))).message_ids)
            for number in range(12)
        ]
        assert set(covered) == {0, 20}
        assert covered == sorted(covered)
        for folder in memories._files.own.iterdir():
            if folder.is_dir():
                assert (folder / "beacon.json").exists()
        await memories.close()

    finished(run())


def test_readable_sessions_are_held_within_a_budget(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(60))])
        roomy = await memories.attention(ANN, "Otto?")
        size = memories._readables.nbytes
        assert size > 0
        memories._readables._limit = size // 3
        assert await memories.attention(ANN, "Otto?") == roomy
        for _ in range(2):
            memories._readables.drop(ANN)
            found = await memories.attention(ANN, "Otto?")
            assert found == pytest.approx(roomy, abs=1e-6)
            assert 0 < memories._readables.nbytes <= size // 3
            # the sessions that are there stay: the next ones do not take their places in turn
            held = set(memories._readables._held)
            await memories.attention(ANN, "Otto?")
            assert set(memories._readables._held) == held
        await memories.close()


@pytest.mark.parametrize(("ratio", "share"), [(1, 1.0), (4, 0.25)])
def test_a_session_keeps_rows_by_its_own_ratio(
    tiny: Path, tmp_path: Path, ratio: int, share: float
) -> None:
    async def run() -> None:
        settings = config(tiny, session_ratio=ratio)
        memories = await written(settings, tmp_path, [(0, said(60))])
        bank = memories._bank()
        assert bank is not None
        blocks = [
            block for part in await bank.heads(ANN) for block in (await bank.read(ANN, part)).blocks
        ]
        assert blocks
        assert {len(block.rows) / block.tokens for block in blocks} == {share}
        await memories.close()

    finished(run())

    finished(run())
