"""Ratios, windows and the model's length, without a model."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from memoryscope_rag.beacon.compressor import Beacons, Full
from memoryscope_rag.beacon.plan import Plan, Position, plan
from memoryscope_rag.beacon.ratios import (
    history_ratio,
    longest_history,
    training_ratios,
    window_ratio,
)
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.errors import ConfigError, ModelError

NOTHING = Position(prefix=0, windows=0, memory_rows=0, offset=0, ratio=None, fixed_ratio=None)


def planned(new: int, capacity: int = 10**6, **settings: Any) -> Plan:
    return plan(BeaconSettings(window=32, **settings), Beacons(), NOTHING, new, capacity)


def ratios(made: Plan) -> list[int]:
    return [step.ratio for step in made.steps if step.kind == "window"]


def test_p6_step_random_draws_for_each_window() -> None:
    drawn = ratios(planned(32 * 3000, ratios=(2, 4, 8)))
    counts = Counter(drawn)
    assert all(abs(counts[ratio] / 3000 - 1 / 3) < 0.05 for ratio in (2, 4, 8))
    pairs = Counter(itertools.pairwise(drawn))
    assert all(abs(count / 3000 - 1 / 9) < 0.03 for count in pairs.values())
    assert drawn == ratios(planned(32 * 3000, ratios=(2, 4, 8)))
    assert drawn != ratios(planned(32 * 3000, ratios=(2, 4, 8), seed=43))


def test_p6_instance_random_draws_once_for_a_history() -> None:
    found = []
    for seed in range(600):
        made = planned(32 * 4, ratios=(2, 4, 8), mix="instance-random", seed=seed)
        assert len(set(ratios(made))) == 1
        assert made.fixed_ratio == ratios(made)[0]
        found.append(ratios(made)[0])
    assert all(abs(count / 600 - 1 / 3) < 0.07 for count in Counter(found).values())


def test_p6_sequence_takes_turns() -> None:
    assert ratios(planned(32 * 5, ratios=(2, 0, 8), mix="sequence")) == [2, 0, 8, 2, 0]


def test_p6_adapt_takes_the_smallest_that_is_enough() -> None:
    settings = BeaconSettings(window=32, ratios=(8, 2, 4), mix="adapt", adapt_margin=100)
    for capacity in (100, 200, 400):
        for length in range(1, 2000, 37):
            found = history_ratio(settings, length, capacity)
            enough = [r for r in (2, 4, 8) if (capacity - 32) * r + 32 >= length + 100]
            assert found == (min(enough) if enough else 8)


def test_p6_published_lengths() -> None:
    # Qwen2 with 32 768 positions, and 131 072
    assert [longest_history(2048, ratio, 32768) for ratio in (2, 4, 8, 16, 32)] == [
        63488,
        124928,
        247808,
        493568,
        985088,
    ]
    assert longest_history(2048, 4, 131072) == 518144
    assert longest_history(2048, 64, 131072) == 8259584


def test_p6_a_draw_does_not_depend_on_how_far_one_came() -> None:
    settings = BeaconSettings(window=32, ratios=(2, 4, 8))
    every = [window_ratio(settings, window) for window in range(20)]
    at = Position(prefix=0, windows=7, memory_rows=99, offset=0, ratio=None, fixed_ratio=None)
    assert ratios(plan(settings, Beacons(), at, 32 * 13, 10**6)) == every[7:]


def test_p6_raw_windows_in_training_come_once_and_before_beacons() -> None:
    draws = random.Random(0)
    zeros = 0
    for _ in range(300):
        chosen = training_ratios((0, 2, 4), 5, draws)
        assert len(chosen) == 5
        assert chosen.count(0) <= 1
        if 0 in chosen:
            zeros += 1
            assert any(chosen[chosen.index(0) + 1 : -1])
    assert 100 < zeros < 250


def test_ratios_that_do_not_divide_the_window_are_left_out() -> None:
    assert BeaconSettings(window=32, ratios=(3, 4, 64, 8)).candidates == (4, 8)
    with pytest.raises(ConfigError, match=r"none of the ratios \[3, 64\]"):
        BeaconSettings(window=32, ratios=(3, 64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "window is 0"),
        ({"parallel_windows": 0}, "parallel_windows is 0"),
        ({"sink_size": -1}, "sink_size is -1"),
        ({"sink_size": 33, "window": 32}, "more than the window"),
        ({"sink_size": 1, "skip_first": 1}, "sinks already"),
        ({"skip_last": 33, "window": 32}, "a multiple of the window"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BeaconSettings(**settings)


def test_p8_steps_of_prefix_windows_and_rest() -> None:
    made = planned(10 + 64 + 7, skip_first=10, skip_last=74)
    assert [(step.kind, step.count, step.full) for step in made.steps] == [
        ("prefix", 10, False),
        ("window", 32, True),
        ("window", 32, True),
        ("rest", 7, False),
    ]


def test_p13_too_long_is_refused_before_anything_is_read() -> None:
    # 8 rows a window, and 40 while one is read
    assert planned(32 * 10, capacity=9 * 8 + 40).peak == 112
    with pytest.raises(ModelError, match="would take 112 positions, but the model has 111"):
        planned(32 * 10, capacity=111)


def test_p13_a_higher_ratio_when_it_is_full() -> None:
    made = planned(32 * 12, capacity=111, when_full="raise-ratio")
    assert made.peak <= 111
    assert ratios(made) == [4] * 9 + [8, 16, 32]
    with pytest.raises(ModelError, match="would take"):
        planned(32 * 100, capacity=111, when_full="raise-ratio")


def test_p13_full_rows_count_as_what_they_are() -> None:
    made = plan(BeaconSettings(window=32), Full(), NOTHING, 100, 100)
    assert made.peak == 100
    with pytest.raises(ModelError, match="the model has 99"):
        plan(BeaconSettings(window=32), Full(), NOTHING, 100, 99)
