"""The scorer on a small file of its own."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation.timex import evaluate


def case(text: str, gold: str, kind: str, *values: dict[str, str]) -> dict[str, Any]:
    return {
        "input": text,
        "reference": "2016-11-07T16:12:00",
        "results": [
            {
                "Text": gold,
                "Start": text.index(gold),
                "End": text.index(gold) + len(gold) - 1,
                "TypeName": f"datetimeV2.{kind}",
                "Resolution": {"values": list(values)},
            }
        ],
    }


CASES = [
    case("I left yesterday.", "yesterday", "date", {"value": "2016-11-06"}),
    case("since 2010", "since 2010", "daterange", {"start": "2010-01-01", "Mod": "since"}),
    case(
        "from 5 to 7 May 2015",
        "from 5 to 7 May 2015",
        "daterange",
        {"start": "2015-05-05", "end": "2015-05-07"},
    ),
    case("yesterday at 3pm", "yesterday at 3pm", "datetime", {"value": "2016-11-06 15:00:00"}),
    case("a flurble ago", "flurble", "date", {"value": "2016-11-06"}),
    case("for an hour", "an hour", "duration", {"value": "3600"}),
    case("Feb 30", "Feb 30", "date", {"value": "not resolved"}),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.xz"])
def test_counts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cases{suffix}"
    opener = lzma.open if suffix.endswith("xz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in CASES)
    report = evaluate(path)
    assert (report.n, report.right) == (5, 4)
    assert report.accuracy == pytest.approx(0.8)
    assert report.by_type == {"date": (2, 1), "daterange": (2, 2), "datetime": (1, 1)}
    assert [miss.cause for miss in report.misses] == ["not found"]
    own = evaluate(path, ends="inclusive")
    assert own.right == 3
    assert dict(own.causes) == {"end included": 1, "not found": 1}


def test_a_broken_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"reference": "2016-11-07"}\n', encoding="utf-8")
    with pytest.raises(InvalidInput):
        evaluate(path)
