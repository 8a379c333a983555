"""A question that needs the turn before it. A scripted model stands in for a real one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from memoryscope_rag import MemoryScope, load_config
from memoryscope_rag.testing.fakes import ScriptedGenerator

HERE = Path(__file__).parent
QUESTION = "Where does she work?"

with tempfile.TemporaryDirectory() as folder:
    overrides = {
        "retrieval": {"operation": str(HERE / "retrieve.yaml")},
        "schedule": {"close_s": 0},  # the script's one reply is not for consolidation
    }
    config = load_config(overrides=overrides)
    model = ScriptedGenerator(["Where does Ann work?"])
    with MemoryScope.open(Path(folder) / "memory.db", config=config, generator=model) as memory:
        memory.record("Ann works as a vet at the zoo in Basel.", scope="ben", session_id="may")
        memory.record("My sister Ann called me.", scope="ben", session_id="today")
        found = memory.retrieve(QUESTION, scope="ben", current_session="today")
        print(f"asked for: {QUESTION}")
        print(f"searched:  {found.query}")
        print(found.text)
