"""bench: thin commands over the evaluation functions, a table or one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from memoryscope_rag import lexical
from memoryscope_rag.evaluation.synthetic import Texts, entries
from tests.cli.conftest import Cli

CASES = [
    {
        "input": "I'll go back on 7 May 2026",
        "reference": "2026-03-02T00:00:00",
        "results": [
            {
                "Text": "7 may 2026",
                "Start": 16,
                "End": 25,
                "TypeName": "datetimeV2.date",
                "Resolution": {"values": [{"type": "date", "value": "2026-05-07"}]},
            }
        ],
    },
    {
        "input": "see you when the cows come home",
        "reference": "2026-03-02T00:00:00",
        "results": [
            {
                "Text": "when the cows come home",
                "Start": 8,
                "End": 30,
                "TypeName": "datetimeV2.date",
                "Resolution": {"values": [{"type": "date", "value": "2026-03-03"}]},
            }
        ],
    },
]


def test_timex_shows_accuracy_and_misses_by_cause(cli: Cli) -> None:
    Path("cases.jsonl").write_text("\n".join(map(json.dumps, CASES)), "utf-8")
    out = cli("bench", "timex", "--data", "cases.jsonl").out
    assert "accuracy\t" in out
    assert "not found\twhen the cows come home\t" in out
    tree = json.loads(cli("bench", "timex", "--data", "cases.jsonl", "--json").out)
    assert tree["n"] == 2
    assert tree["systems"]["memoryscope-rag"]["accuracy"] == 0.5
    assert [miss["cause"] for miss in tree["misses"]] == ["not found"]
    assert "none.jsonl" in cli("bench", "timex", "--data", "none.jsonl", code=2).err


def test_speed_measures_a_small_machine(cli: Cli) -> None:
    small = ("--sizes", "60,120", "--rows", "2000", "--queries", "20", "--messages", "64")
    beside = ("--consolidations", "2", "--deadlines", "1")
    outcome = cli("bench", "speed", *small, *beside, "--json")
    metrics = json.loads(outcome.out)["systems"]["memoryscope-rag"]
    wanted = {
        "retrieve_noembed_p95_ms@60",
        "retrieve_noembed_p50_ms@120",
        "retrieve_noembed_p99_ms@1000of2000",
        "add_batch_per_s",
        "add_single_p95_ms",
        "bytes_per_message",
        "cold_open_ms@120",
        "beside_2_consolidations_p95_ratio@shared",
        "beside_2_consolidations_p95_ratio@own",
        "deadline_p99_ms@50",
        "deadline_p99_ms@1000",
        "import_ms",
    }
    assert wanted <= set(metrics)
    assert all(value > 0 for value in metrics.values())
    assert not [name for name in metrics if name.startswith("retrieve_p")]
    assert "--sizes" in cli("bench", "speed", "--sizes", "many", code=2).err


def test_speed_measures_embedding_where_there_is_a_model(cli: Cli) -> None:
    options = ("--sizes", "60", "--rows", "0", "--queries", "20", "--messages", "64", "--json")
    left_out = ("--consolidations", "0", "--deadlines", "0")
    model = ("--embedder", "all-minilm-l6-v2")
    tree = json.loads(cli("bench", "speed", *options, *left_out, *model).out)
    assert tree["embedder"] == "all-minilm-l6-v2"
    metrics = tree["systems"]["memoryscope-rag"]
    assert {"retrieve_p95_ms@60", "add_single_embed_p95_ms", "add_batch_embed_per_s"} <= set(
        metrics
    )


def test_synthetic_histories_are_the_same_for_a_seed_and_findable() -> None:
    assert Texts(1).take(5) == Texts(1).take(5)
    assert Texts(1).take(5) != Texts(2).take(5)
    batches = list(entries(120, 8, seed=3, batch=50))
    assert [len(batch) for batch in batches] == [50, 50, 20]
    entry = batches[0][7]
    node = entry.nodes[0]
    assert node.terms == tuple(lexical.analyze(entry.message.content))
    assert node.vector is not None
    assert abs(float(np.linalg.norm(node.vector)) - 1) < 1e-5


TURNS = (
    "I moved to Lisbon in May",
    "My cat Otto hates the trams",
    "The espresso machine broke again",
    "My sister Clara plays the cello",
)
QUESTIONS = (
    "Where to did she move?",
    "Which cat hates trams?",
    "What broke?",
    "Who plays the cello?",
)


def generic_data(path: Path, histories: int = 3) -> Path:
    rows = [
        {
            "id": f"h{number}",
            "turns": [
                {
                    "id": f"t{index}",
                    "session": f"s{index // 2}",
                    "role": "user",
                    "speaker": "Ann",
                    "content": f"{text}, number {number}",
                    "at": f"2026-05-0{index + 1}T12:00:00+00:00",
                }
                for index, text in enumerate(TURNS)
            ],
            "questions": [
                {"id": f"q{index}", "text": text, "turns": [f"t{index}"]}
                for index, text in enumerate(QUESTIONS)
            ],
        }
        for number in range(histories)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def locomo_data(path: Path) -> Path:
    rows = []
    for number in range(2):
        turns = [
            {"speaker": "Ann", "dia_id": f"D1:{index + 1}", "text": f"{text}, number {number}"}
            for index, text in enumerate(TURNS)
        ]
        talk = {
            "speaker_a": "Ann",
            "speaker_b": "Bob",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": turns,
        }
        qa = [
            {"question": text, "evidence": [f"D1:{index + 1}"], "category": 1, "answer": "x"}
            for index, text in enumerate(QUESTIONS)
        ]
        rows.append({"sample_id": f"conv-{number}", "conversation": talk, "qa": qa})
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def test_locomo_and_generic_histories(cli: Cli, in_tmp: Path) -> None:
    for name, data in (
        ("locomo", locomo_data(in_tmp / "locomo.jsonl")),
        ("generic", generic_data(in_tmp / "own.jsonl")),
    ):
        outcome = cli("bench", name, "--data", str(data), "--json")
        tree = json.loads(outcome.out)
        assert (tree["benchmark"], tree["data"], tree["embedder"]) == (name, data.name, "none")
        assert tree["systems"]["memoryscope-rag"]["recall@3"] > 0.5
        assert "memoryscope-rag" in cli("bench", name, "--data", str(data)).out
        assert json.loads(cli("bench", name, "--data", str(data), "--limit", "1", "--json").out)


def test_fit_writes_weights_that_retrieval_takes(cli: Cli, in_tmp: Path) -> None:
    data = generic_data(in_tmp / "own.jsonl")
    default = ("--embedder", "all-minilm-l6-v2")
    out = cli("bench", "fit", "--data", f"generic={data}", "-o", "own.json", *default, "--json").out
    assert "generic" in json.loads(out)["systems"]
    (in_tmp / "settings.yaml").write_text("retrieval: {ranker: own.json}\n", "utf-8")
    cli("record", "I moved to Lisbon", "--user", "ann", *default)
    found = cli(
        "retrieve", "Lisbon", "--user", "ann", "--config", "settings.yaml", "--no-floor", *default
    )
    assert found.rows


def test_fit_refuses_what_it_cannot_use(cli: Cli, in_tmp: Path) -> None:
    data = generic_data(in_tmp / "own.jsonl")
    assert "locomo" in cli("bench", "fit", "--data", str(data), code=2).err
    assert "--embedder" in cli("bench", "fit", "--data", f"generic={data}", code=2).err
    assert "none.jsonl" in cli("bench", "locomo", "--data", "none.jsonl", code=2).err


def _talk(path: Path) -> None:
    turns = [
        {
            "id": f"t{number}",
            "session": f"s{number // 10}",
            "role": "user",
            "speaker": "Ann",
            "content": f"I bought the blue lamp number {number} at the market in Lyon.",
            "at": f"2025-03-{1 + number // 10:02}T10:{number % 10:02}:00+00:00",
        }
        for number in range(40)
    ]
    question = {"id": "q", "text": "Which lamp?", "turns": ["t3"], "at": "2025-04-01T10:00:00"}
    row = {"id": "talk", "turns": turns, "questions": [question]}
    path.write_text(json.dumps(row), "utf-8")


def test_consolidation_counts_calls_and_tokens_of_a_stand_in(cli: Cli) -> None:
    _talk(Path("generic.jsonl"))
    arguments = ("bench", "consolidation", "--data", "generic.jsonl", "--generator", "stand-in")
    tree = json.loads(cli(*arguments, "--json").out)
    assert tree["n"] == 40
    assert any("stand-in answered" in note for note in tree["notes"])
    (figures,) = tree["systems"].values()
    assert figures["calls/100"] <= 50
    assert figures["consolidated"] == 1
    assert figures["observations/100"] == 100
    assert figures["prompt tokens/100"] > figures["reply tokens/100"] > 0
    assert "stand-in" in cli(*arguments).out
    assert "no chat model" in cli(*arguments[:-1], "settings", code=2).err
    assert "--generator" in cli(*arguments[:-1], "gpt", code=2).err


def test_conflict_judges_the_pairs_that_ship(cli: Cli, in_tmp: Path) -> None:
    tree = json.loads(cli("bench", "conflict", "--json").out)
    assert (tree["n"], tree["data"]) == (100, "conflict_pairs.jsonl")
    assert tree["systems"]["rules"]["false_conflict"] == 0
    assert json.loads(cli("bench", "conflict", "--part", "held-out", "--json").out)["n"] == 40
    own = {
        "older": "I live in Rome.",
        "newer": "I moved to Oslo.",
        "said_older": "2026-01-01T10:00:00+00:00",
        "said_newer": "2026-02-01T10:00:00+00:00",
        "relation": "contradicted",
        "language": "en",
    }
    Path("own.jsonl").write_text(json.dumps(own), "utf-8")
    assert "rules" in cli("bench", "conflict", "--data", "own.jsonl").out
    assert "--part" in cli("bench", "conflict", "--part", "best", code=2).err
    assert "--generator" in cli("bench", "conflict", "--generator", code=2).err


def test_consolidation_compares_turns_with_and_without_observations(cli: Cli, in_tmp: Path) -> None:
    data = generic_data(in_tmp / "own.jsonl")
    out = cli("bench", "consolidation", "--data", f"generic={data}", "--json").out
    tree = json.loads(out)
    assert set(tree["systems"]) == {
        "conversation",
        "conversation + observations",
        "lifted by observations",
    }
    assert any(note.startswith("duplicates: 0 of") for note in tree["notes"])
