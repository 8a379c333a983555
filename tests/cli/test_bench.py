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
    outcome = cli("bench", "speed", *small, "--json")
    metrics = json.loads(outcome.out)["systems"]["memoryscope-rag"]
    wanted = {
        "retrieve_noembed_p95_ms@60",
        "retrieve_noembed_p50_ms@120",
        "retrieve_noembed_p99_ms@1000of2000",
        "add_batch_per_s",
        "add_single_p95_ms",
        "bytes_per_message",
        "cold_open_ms@120",
        "import_ms",
    }
    assert wanted <= set(metrics)
    assert all(value > 0 for value in metrics.values())
    assert not [name for name in metrics if name.startswith("retrieve_p")]
    assert "--sizes" in cli("bench", "speed", "--sizes", "many", code=2).err


def test_speed_measures_embedding_where_there_is_a_model(cli: Cli) -> None:
    options = ("--sizes", "60", "--rows", "0", "--queries", "20", "--messages", "64", "--json")
    tree = json.loads(cli("bench", "speed", *options, "--embedder", "all-minilm-l6-v2").out)
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
