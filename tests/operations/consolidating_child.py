"""A process of its own that consolidates slowly, and says so call by call."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.testing.fakes import ScriptedGenerator
from tests.operations.consolidating import memory, reader


def say(text: str) -> None:
    """A line for the parent, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(path: Path, seconds: float) -> None:
    """Consolidate with ``seconds`` a call; print "call" for each, then what became of it."""
    read = reader()

    def slowly(messages: Sequence[ChatMessage]) -> str:
        say("call")
        time.sleep(seconds)
        return read(messages)

    async with memory(path) as m:
        report = await m.run(
            model=ScriptedGenerator([slowly] * 10_000), batch_messages=10, lease_seconds=2.0
        )
        say("busy" if report.busy else f"done {report.consolidated}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
