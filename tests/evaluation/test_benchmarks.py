"""A benchmark run from file to report on a small made-up history; store and twin agree."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.evaluation import benchmarks, gather
from memoryscope_rag.evaluation.datasets import History, Question, Turn
from memoryscope_rag.evaluation.floor import floor_for
from memoryscope_rag.evaluation.plain_index import BM25
from memoryscope_rag.ports import Candidates
from memoryscope_rag.scoring import LinearRanker

PLACES = ["Paris", "Oslo", "Lima", "Cairo"]
THINGS = ["violin", "bicycle", "telescope", "canoe"]


def ranker() -> LinearRanker:
    folder = resources.files("memoryscope_rag") / "configs" / "rankers"
    return LinearRanker.from_json((folder / "generic.json").read_text("utf-8"))


def histories() -> list[History]:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    made = []
    for number, (ann, bob) in enumerate([("Ann", "Bob"), ("Cleo", "Dan")]):
        turns = []
        questions = []
        for day in range(2):
            place, thing = PLACES[2 * number + day], THINGS[2 * number + day]
            lines = [
                (ann, "How was your week?"),
                (bob, f"I travelled to {place} with my brother."),
                (ann, f"Lovely. I bought a {thing} yesterday."),
                (bob, "Great."),
            ]
            for index, (speaker, content) in enumerate(lines):
                turns.append(
                    Turn(
                        f"t{day}-{index}",
                        f"s{day}",
                        "user" if speaker == ann else "assistant",
                        speaker,
                        content,
                        start + timedelta(days=day, minutes=index),
                    )
                )
            for name, text, turn in (
                ("p", f"Who travelled to {place}?", f"t{day}-1"),
                ("b", f"Where is the {thing} from?", f"t{day}-2"),
            ):
                questions.append(
                    Question(
                        f"{number}{day}{name}",
                        text,
                        name,
                        frozenset({turn}),
                        frozenset({f"s{day}"}),
                        start + timedelta(days=9),
                    )
                )
        made.append(History(f"h{number}", tuple(turns), tuple(questions), (ann, bob)))
    return made


def write(path: Path) -> Path:
    rows = [
        {
            "id": history.id,
            "turns": [
                {
                    "id": turn.id,
                    "session": turn.session,
                    "role": turn.role,
                    "speaker": turn.speaker,
                    "content": turn.content,
                    "at": turn.at.isoformat(),
                }
                for turn in history.turns
            ],
            "questions": [
                {
                    "id": question.id,
                    "text": question.text,
                    "category": question.category,
                    "turns": sorted(question.turns),
                }
                for question in history.questions
            ],
        }
        for history in histories()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("through_store", [False, True])
def test_words_alone_find_the_evidence(tmp_path: Path, through_store: bool) -> None:
    report = benchmarks.run_generic(
        write(tmp_path / "g.jsonl"), None, ranker(), through_store=through_store
    )
    assert report.n == 8
    assert report.systems["lexical"]["recall@1"] == 1.0
    assert report.systems["memoryscope-rag"]["recall@3"] == 1.0
    assert "dense" not in report.systems
    assert "leave-one-out" in report.systems
    assert set(report.categories["memoryscope-rag"]) == {"p", "b"}
    tree = json.loads(report.to_json())
    assert tree["systems"]["lexical"]["any@5"] == 1.0
    assert "memoryscope-rag" in report.table()


def test_store_and_twin_find_the_same() -> None:
    asked = gather.own(histories())

    def rows(candidates: Candidates) -> dict[str, tuple[float, ...]]:
        return {
            name.rsplit("#", 1)[0]: (
                round(float(candidates.lexical[0, i]), 3),
                round(float(candidates.lexical_context[0, i]), 3),
                bool(candidates.question[i]),
            )
            for i, name in enumerate(candidates.ids)
        }

    stored = asyncio.run(gather.gather(asked, None))
    plain = asyncio.run(gather.gather_plainly(asked, None))
    for real, twin in zip(stored, plain, strict=True):
        expected = rows(twin.candidates)
        found = rows(real.candidates)
        assert found == {name: expected[name] for name in found}
        assert real.candidates.lexical_best == pytest.approx(twin.candidates.lexical_best, abs=1e-3)
        assert {name for name, row in expected.items() if row[0] > 0} <= set(found)


def test_foreign_questions_speak_of_the_people_here() -> None:
    (first, questions), _ = gather.foreign(
        [
            histories()[0],
            History("x", (), (_question("Did Cleo meet Dan and Cleo?"),), ("Cleo", "Dan")),
        ]
    )
    assert first.id == "h0"
    (question, strange), *_ = questions
    assert question.text == "Did Ann meet Bob and Ann?"
    assert strange
    assert not question.answerable


def _question(text: str) -> Question:
    return Question("q", text, "", frozenset(), frozenset({"z"}), datetime(2024, 1, 1, tzinfo=UTC))


def test_floor_keeps_its_share() -> None:
    scores = [float(value) for value in range(100)]
    floor = floor_for(scores)
    assert sum(score >= floor for score in scores) == 95
    assert floor_for([3.0]) == 3.0


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=6), WORDS)
def test_bm25_by_the_book(documents: list[list[str]], query: list[str]) -> None:
    mean = sum(map(len, documents)) / len(documents) or 1.0
    expected = []
    for document in documents:
        count = Counter(document)
        total = 0.0
        for term in query:
            holding = sum(term in other for other in documents)
            idf = np.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            norm = 1.2 * (0.25 + 0.75 * len(document) / mean)
            total += idf * count[term] * 2.2 / (count[term] + norm)
        expected.append(total)
    np.testing.assert_allclose(BM25(documents).scores(query), expected, rtol=1e-4, atol=1e-6)
