"""The examples run and say what they should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *installed: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=EXAMPLES.parent,
        env={
            "PYTHONPATH": os.pathsep.join(map(str, (*installed, EXAMPLES.parent))),
            "PYTHONUTF8": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_o4_chatbot_backend() -> None:
    lines = run("chatbot_backend.py").splitlines()
    assert lines[-1].endswith("I remember: I moved to Lisbon in May, close to the river.")


def test_o4_async_backend() -> None:
    lines = run("async_backend.py").splitlines()
    for user, city, other in (("ann", "Lisbon", "Oslo"), ("bob", "Oslo", "Lisbon")):
        (line,) = [line for line in lines if line.startswith(f"{user}: ")]
        assert city in line
        assert other not in line
    assert any(line.startswith("小伟: ") and "成都" in line for line in lines)


def test_o4_chat_with_memory() -> None:
    lines = run("chat_with_memory.py").splitlines()
    assert lines[1] == "bot: I was given 0 lines of memory."
    assert lines[5].endswith("| Ann] I moved to Lisbon in May.")
    assert lines[7].endswith("| Bob] I moved to Oslo in March.")


def test_o4_chat_with_clues() -> None:
    lines = run("chat_with_clues.py").splitlines()
    assert lines == [
        "clue 1 (span): Clara teaches at a music school in Leeds",
        "found by clue 1, attention: Clara plays the cello and teaches at a music school in Leeds.",
        "bot: For your sister? Perhaps a new bow for her cello.",
    ]


def test_o4_documents() -> None:
    lines = run("documents.py").splitlines()
    assert lines[0].startswith("3 passages, ")
    assert any("guide.md:" in line and "query" in line for line in lines)
    asked = {line.partition("?")[0]: line for line in lines if "?" in line}
    assert "Dogs are welcome" in asked["May I bring a dog"]
    assert lines[-1].startswith("The first passage begins: ")


def test_d10_j3_o4_a_worker_of_another_package(tmp_path: Path) -> None:
    package = EXAMPLES / "query_rewriting"
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    # what an installer leaves behind; the package's own build needs an index
    info = tmp_path / "query_rewriting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: query-rewriting\nVersion: 1.0\n")
    points = project["entry-points"]["memoryscope_rag.workers"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[memoryscope_rag.workers]", *lines, ""]))
    shutil.copy(package / "query_rewriting.py", tmp_path)
    said = run("query_rewriting/try_it.py", tmp_path)
    assert "searched:  Where does Ann work?\n" in said
    assert "Ann works as a vet at the zoo in Basel." in said


def test_o4_every_example_is_run_here() -> None:
    names = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py")}
    names -= {"agentscope_agent.py", "autogen_agent.py"}  # run by "make test-adapters"
    assert names == {
        "async_backend.py",
        "chat_with_clues.py",
        "chat_with_memory.py",
        "chatbot_backend.py",
        "documents.py",
        "query_rewriting/query_rewriting.py",
        "query_rewriting/try_it.py",
    }
