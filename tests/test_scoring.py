"""The signals against a plain reference, the fit against numbers, the ranker as data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.errors import ConfigError
from memoryscope_rag.indexing import piece_id
from memoryscope_rag.lexical import analyze
from memoryscope_rag.ports import Candidates
from memoryscope_rag.schema import MAX_NAME, Kind
from memoryscope_rag.scoring import (
    SIGNALS,
    Calibration,
    Group,
    LinearRanker,
    QueryFeatures,
    Scale,
    attention_by_node,
    confidence,
    echo_strength,
    fit_listwise,
    listwise_loss,
    query_features,
    signals,
)

CALIBRATION = Calibration(
    dense=Scale(0.2, 0.1),
    context=Scale(0.3, 0.2),
    unspaced_dense=Scale(0.5, 0.1, 0.5),
    unspaced_context=Scale(0.5, 0.1, 0.0),
)


def make(count: int, seed: int = 0, queries: int = 1, missing: float = 0.0) -> Candidates:
    """Random candidates: turns in sessions of six, every tenth a note without a session."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(-0.2, 0.9, (queries, count)).astype(np.float32)
    gone = rng.random(count) < missing
    dense[:, gone] = np.nan
    context = rng.uniform(-0.2, 0.9, (queries, count)).astype(np.float32)
    context[:, gone] = np.nan
    lexical = rng.uniform(0, 9, (queries, count)).astype(np.float32)
    note = np.arange(count) % 10 == 9
    kinds: tuple[Kind, ...] = tuple("note" if is_note else "conversation" for is_note in note)
    vectors = rng.normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[gone] = 0
    return Candidates(
        ids=tuple(f"n{i}" for i in range(count)),
        kinds=kinds,
        dense=dense,
        dense_context=context,
        lexical=lexical,
        lexical_context=rng.uniform(0, 9, (queries, count)).astype(np.float32),
        lexical_best=lexical.max(axis=1, initial=0.0) + 1,
        vectors=vectors,
        session=np.where(note, -1, np.arange(count) // 6),
        seq=np.arange(count) * 3 + 1,
        turn=np.where(note, -1, np.arange(count) % 6 // 2),  # two pieces a turn
        speaker=np.where(note, -1, np.arange(count) % 2),
        speakers=("Ann Lee", "Bob"),
        said_at=np.arange(count, dtype=np.float64) * 86_400.0,
        event_start=np.full(count, np.nan),
        event_end=np.full(count, np.nan),
        length=rng.integers(1, 900, count),
        question=rng.random(count) < 0.3,
        found=np.ones(count, dtype=np.bool_),
    )


def reference(c: Candidates, query: QueryFeatures, calibration: Calibration) -> list[list[float]]:
    """The same signals with loops and no numpy tricks."""
    turn = calibration.unspaced_dense if query.unspaced else calibration.dense
    near = calibration.unspaced_context if query.unspaced else calibration.context
    rows = range(1 + query.parts)

    def standard(value: float, scale: Scale) -> float:
        return 0.0 if math.isnan(value) else (value - scale.mean) / scale.deviation * scale.trust

    rare = math.log(1 + (len(c) - 0.5) / 1.5)
    good = 0.0 if query.unspaced else 1.5 * rare * math.sqrt(max(1, len(analyze(query.text))))

    def lexical(row: int, i: int) -> float:
        return float(c.lexical[row, i]) / max(float(c.lexical_best[row]), good)

    def lexical_context(row: int, i: int) -> float:
        return float(c.lexical_context[row, i]) / max(float(c.lexical_best[row]), good)

    def dense(row: int, i: int) -> float:
        return standard(float(c.dense[row, i]), turn)

    def best_dense(i: int) -> float:
        return max(dense(row, i) for row in rows)

    def best_lexical(i: int) -> float:
        return max(lexical(row, i) for row in rows)

    def context(i: int) -> float:
        return max(standard(float(c.dense_context[row, i]), near) for row in rows)

    def neighbour(i: int, offset: int) -> list[int]:
        if c.turn[i] < 0:
            return []
        return [
            j
            for j in range(len(c))
            if c.turn[j] >= 0 and c.session[j] == c.session[i] and c.turn[j] == c.turn[i] + offset
        ]

    def cosine(i: int, j: int) -> float:
        known = c.vectors[i].any() and c.vectors[j].any()
        return float(c.vectors[i] @ c.vectors[j]) if known else math.nan

    def hop(i: int) -> float:
        likeness = []
        for row in rows[1:] or rows:
            strength = [0.5 * dense(row, j) + 2 * lexical(row, j) for j in range(len(c))]
            first = max(range(len(c)), key=strength.__getitem__)
            second = max((strength[j] for j in range(len(c)) if j != first), default=math.inf)
            lead = max(0.0, min(1.0, (strength[first] - second) / 2))
            others = [float(c.vectors[first] @ c.vectors[j]) for j in range(len(c)) if j != first]
            own = cosine(i, first)
            if i == first and not math.isnan(own):
                own = max(others, default=-1.0)
            likeness.append(standard(own, turn) * lead)
        return max(likeness)

    def nearness(i: int, intervals: Sequence[tuple[float, float]]) -> float:
        gaps = [max(0.0, a - c.said_at[i], c.said_at[i] - b) for a, b in intervals]
        return max((math.exp(-gap / (14 * 86_400)) for gap in gaps), default=0.0)

    result = []
    clues = range(1 + query.parts, c.dense.shape[0])
    for i in range(len(c)):
        around = {k: neighbour(i, k) for k in (-2, -1, 1, 2)}
        dense_at = {k: max(map(best_dense, js), default=0.0) for k, js in around.items()}
        lexical_at = {k: max(map(best_lexical, js), default=0.0) for k, js in around.items()}
        mates = [j for j in range(len(c)) if c.session[j] == c.session[i]]
        mates = mates if c.session[i] >= 0 else [i]
        asked = float(any(c.question[j] for j in around[-1]))
        length = math.log1p(int(c.length[i]) * (3 if query.unspaced else 1)) - 4.6
        named = [c.speakers[code] in query.names for code in range(len(c.speakers))]
        speaker = 0.0
        if any(named) and not all(named) and c.speaker[i] >= 0:
            speaker = 1.0 if named[c.speaker[i]] else -1.0
        time = nearness(i, query.intervals)
        values = {
            "dense": dense(0, i),
            "dense_parts": best_dense(i) - dense(0, i),
            "dense_context": context(i),
            "dense_window": (best_dense(i) + sum(dense_at.values())) / 5,
            "lexical": lexical(0, i),
            "lexical_parts": best_lexical(i) - lexical(0, i),
            "lexical_context": max(lexical_context(row, i) for row in rows),
            "lexical_window": (best_lexical(i) + sum(lexical_at.values())) / 5,
            "lexical_level": math.log1p(float(c.lexical_best[0]) / rare)
            - 0.5 * math.log(query.words),
            "session_context": max(map(context, mates)),
            "session_lexical": max(map(best_lexical, mates)),
            "answers_dense": asked * max(dense_at[-1], 0.0),
            "answers_lexical": asked * lexical_at[-1],
            "next_dense": dense_at[1],
            "next_lexical": lexical_at[1],
            "speaker": speaker,
            "length": length,
            "lexical_length": best_lexical(i) * length,
            "time_said": time,
            "time_event": 0.0,
            "clue_dense": max(0.0, *(dense(r, i) - best_dense(i) for r in clues), 0.0),
            "clue_lexical": max(0.0, *(lexical(r, i) - best_lexical(i) for r in clues), 0.0),
            "observation": float(c.kinds[i] == "observation"),
            "note": float(c.kinds[i] == "note"),
            "insight": float(c.kinds[i] == "insight"),
            "unspaced": float(query.unspaced),
            "unspaced_hop": hop(i) if query.unspaced else 0.0,
            "attention": query.attention.get(c.ids[i], 0.0),
            "clue_time": max(0.0, nearness(i, query.clue_intervals) - time),
        }
        result.append(
            [
                values[name]
                if name in values
                else values[name.removeprefix("unspaced_")] * query.unspaced
                for name in SIGNALS
            ]
        )
    return result


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 33),
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.sampled_from(["where is Ann now?", "what?", "张三住在哪里？", "did Ann meet Bob"]),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.data(),
)
def test_signals_equal_the_reference(
    count: int, seed: int, queries: int, text: str, missing: float, data: st.DataObject
) -> None:
    candidates = make(count, seed, queries, missing)
    parts = data.draw(st.integers(0, queries - 1))
    plain = query_features(text, candidates.speakers, parts=parts)
    query = QueryFeatures(
        text,
        plain.names,
        plain.unspaced,
        parts,
        ((3 * 86_400.0, 5 * 86_400.0), (-math.inf, 10.0)),
        ((9 * 86_400.0, math.inf),),
        {name: 0.1 * place for place, name in enumerate(candidates.ids[::2])},
    )
    matrix = signals(candidates, query, CALIBRATION)
    assert matrix.shape == (count, len(SIGNALS))
    np.testing.assert_allclose(matrix, reference(candidates, query, CALIBRATION), atol=2e-4)


def test_a_weak_best_hit_does_not_count_as_a_good_one() -> None:
    candidates = make(30)
    query = query_features("my chocolate chip cookies need something extra", ())
    column = SIGNALS.index("lexical")
    strong = signals(candidates, query, CALIBRATION)[:, column]
    candidates.lexical[:] /= 9
    candidates.lexical_best[:] /= 9
    weak = signals(candidates, query, CALIBRATION)[:, column]
    assert strong.max() > 4 * weak.max() > 0


def test_what_is_like_the_best_hit_comes_with_it_where_words_are_not_spaced() -> None:
    candidates = make(3)
    candidates.lexical[0] = [9.0, 0.0, 0.0]
    candidates.dense[:] = 0.5
    candidates.vectors[:] = np.eye(4)[[0, 0, 2]]
    candidates.vectors[1, :2] = 0.8, 0.6
    column = SIGNALS.index("unspaced_hop")
    query = query_features("他住在哪里", ())
    here = signals(candidates, query, CALIBRATION)[:, column]
    assert here[0] == here[1] > here[2]
    elsewhere = signals(candidates, query_features("where is he", ()), CALIBRATION)
    assert not elsewhere[:, column].any()
    candidates.lexical[0] = [9.0, 0.0, 6.0]  # two hits that vie: the hop goes less far
    vying = signals(candidates, query, CALIBRATION)[:, column]
    assert 0 < vying[1] < here[1]
    candidates.lexical[0] = 9.0
    assert not signals(candidates, query, CALIBRATION)[:, column].any()


def test_a_message_that_was_not_read_counts_as_the_mean_of_the_others() -> None:
    long = "m" * MAX_NAME
    ids = ("a#0", "a#1", f"{piece_id(long, 0)}", "new#0")
    turns = replace(make(4), ids=ids, seq=np.array([1, 1, 2, 3]))
    found = attention_by_node({"a": 1.0, long: 3.0, "gone": 9.0}, turns)
    third = pytest.approx(-2 / 3)
    assert found == {"a#0": third, "a#1": third, ids[2]: pytest.approx(4 / 3)}  # the other: 0
    assert attention_by_node({}, turns) == attention_by_node({"gone": 9.0}, turns) == {}
    assert attention_by_node({"a": 1.0}, None, turns) == {}


def test_a_fact_has_the_attention_of_its_turn() -> None:
    turns = replace(make(2), ids=("a#0", "b#0"), seq=np.array([1, 2]))
    facts = replace(
        make(3),
        ids=("f", "g", "n"),
        kinds=("observation", "observation", "note"),
        seq=np.array([2, 7, 2]),
    )
    found = attention_by_node({"a": 0.0, "b": 4.0}, turns, facts)
    assert found == {"a#0": -2.0, "b#0": 2.0, "f": 2.0}


def test_the_ranker_is_sure_where_few_stand_out() -> None:
    assert confidence(np.zeros(0, dtype=np.float32)) == 0.0
    assert confidence(np.zeros(100, dtype=np.float32)) == pytest.approx(0.05)
    assert confidence(np.array([9.0, *[0.0] * 50], dtype=np.float32)) > 0.99
    assert confidence(np.array([1.0, -np.inf], dtype=np.float32)) == pytest.approx(1.0)


def test_an_echo_is_the_share_of_words_and_the_likeness_of_the_best() -> None:
    candidates = replace(make(30, queries=2), population=30)
    candidates.lexical[1] = 0.0
    candidates.lexical[1, 4] = 2 * math.log(1 + 29.5 / 1.5)
    candidates.dense[1, :] = np.nan
    words = ["four words lisbon kitten"]
    shares, deviations = echo_strength(candidates, words, 1, CALIBRATION)
    assert shares.tolist() == [pytest.approx(0.5)]
    assert deviations.tolist() == [-math.inf]
    candidates.dense[1, 7] = CALIBRATION.dense.mean + 3 * CALIBRATION.dense.deviation
    assert echo_strength(candidates, words, 1, CALIBRATION)[1][0] == pytest.approx(3.0, abs=1e-5)


def test_no_candidates_no_rows() -> None:
    matrix = signals(make(0), query_features("who?", ()), CALIBRATION)
    assert matrix.shape == (0, len(SIGNALS))


def test_without_vectors_words_decide() -> None:
    candidates = make(30, missing=1.0)
    matrix = signals(candidates, query_features("who?", candidates.speakers), CALIBRATION)
    assert np.isfinite(matrix).all()
    assert not matrix[:, SIGNALS.index("dense")].any()


def test_an_event_in_time_counts_whole_and_an_open_one_reaches() -> None:
    candidates = make(3)
    candidates.event_start[:] = [100.0, math.nan, 1e9]
    candidates.event_end[:] = [200.0, 50.0, math.nan]
    query = QueryFeatures("when", intervals=((40.0, 150.0),))
    column = signals(candidates, query, CALIBRATION)[:, SIGNALS.index("time_event")]
    assert column.tolist()[:2] == [1.0, 1.0]
    assert column[2] < 1e-6


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What did Ann's dog eat?", {"Ann Lee"}),
        ("ann and bob", {"Ann Lee", "Bob"}),
        ("Annual bobbing", set()),
        ("小明昨天去了哪里", {"小明"}),
    ],
)
def test_names_in_the_query(text: str, names: set[str]) -> None:
    assert query_features(text, ("Ann Lee", "Bob", "小明")).names == names


def test_the_script_of_the_query() -> None:
    assert query_features("我的手机iPhone在哪里呢", ()).unspaced
    assert query_features("မြန်မာစာ ဘယ်မှာလဲ", ()).unspaced
    assert not query_features("Where does 王 live?", ()).unspaced


# ---------------------------------------------------------------- the fit


def random_groups(seed: int, width: int = 4) -> list[Group]:
    rng = np.random.default_rng(seed)
    return [
        Group(
            rng.normal(size=(n, width)),
            tuple(rng.choice(n, size=size, replace=False) for size in rng.integers(1, 3, 2)),
            float(rng.uniform(0.1, 2)),
        )
        for n in rng.integers(3, 9, size=5)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0]))
def test_gradient_is_the_numeric_one(seed: int, l2: float) -> None:
    groups = random_groups(seed)
    weights = np.random.default_rng(seed).normal(size=4)
    _, gradient = listwise_loss(groups, weights, l2)
    step = 1e-6
    numeric = [
        (
            listwise_loss(groups, weights + step * axis, l2)[0]
            - listwise_loss(groups, weights - step * axis, l2)[0]
        )
        / (2 * step)
        for axis in np.eye(4)
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_fit_is_where_the_gradient_vanishes(seed: int) -> None:
    groups = random_groups(seed)
    weights = fit_listwise(groups, 0.3, steps=200)
    _, gradient = listwise_loss(groups, weights, 0.3)
    assert np.abs(gradient).max() < 1e-3


def test_loss_by_hand() -> None:
    group = Group(np.array([[1.0], [0.0]]), (np.array([0]),))
    value, gradient = listwise_loss([group], np.array([0.0]))
    assert value == pytest.approx(math.log(2))
    assert gradient.tolist() == [pytest.approx(-0.5)]


def test_weights_that_may_not_move_stay() -> None:
    groups = random_groups(1)
    free = np.array([True, False, True, False])
    weights = fit_listwise(groups, 0.1, start=np.array([0.0, 2.0, 0.0, 0.0]), free=free)
    assert weights[1] == 2.0
    assert weights[3] == 0.0
    assert weights[0] != 0.0


def test_a_fit_needs_gold() -> None:
    with pytest.raises(ValueError, match="gold"):
        fit_listwise([Group(np.zeros((2, 1)), ())], 0.1)


# ---------------------------------------------------------------- the ranker


def test_json_and_back() -> None:
    ranker = LinearRanker("x", CALIBRATION, {"dense": 0.5, "note": -1.0}, 1.5, {"n": 3})
    assert LinearRanker.from_json(ranker.to_json()) == ranker
    open_ended = LinearRanker("x", CALIBRATION, {})
    assert LinearRanker.from_json(open_ended.to_json()).floor == -math.inf


def test_score_is_the_sum_of_its_parts() -> None:
    ranker = LinearRanker("x", CALIBRATION, {"dense": 0.5, "lexical": 2.0, "note": 1.0})
    matrix = signals(make(12), query_features("where", ()), CALIBRATION)
    for row, score in zip(matrix, ranker.score(matrix), strict=True):
        parts = ranker.explain(row)
        assert sum(part.contribution for part in parts) == pytest.approx(float(score), abs=1e-4)
        assert all(part.contribution for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 99}',
        json.dumps({"format": 1, "preset": "x", "calibration": {}, "weights": {}, "floor": None}),
    ],
)
def test_what_is_no_ranker_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        LinearRanker.from_json(text)


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(ConfigError, match="colour"):
        LinearRanker("x", CALIBRATION, {"colour": 1.0})


def test_shipped_rankers_load_and_say_how_they_came_about() -> None:
    folder = resources.files("memoryscope_rag") / "configs" / "rankers"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".json"))
    assert "generic.json" in names
    assert "all-minilm-l6-v2.json" in names
    for name in names:
        ranker = LinearRanker.from_json((folder / name).read_text("utf-8"))
        assert f"{ranker.preset}.json" == name
        assert {"how", "data", "date"} <= set(ranker.fitted)
        assert math.isfinite(ranker.floor)
        assert ranker.weights["lexical"] + ranker.weights["lexical_context"] > 0
