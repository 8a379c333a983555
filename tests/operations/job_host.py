"""A host of its own: an application whose background process is at work, until it is told to end.

It prints the id of that process once it has asked a model; after Ctrl-C it closes, and says so.
"""

from __future__ import annotations

import asyncio
import sys

from memoryscope_rag import MemoryScope
from memoryscope_rag.configs.load import parse_config


def main(path: str, url: str) -> None:
    """Consolidate in the store ``path``, asking the model at ``url``."""
    config = parse_config(
        {
            "store": {"path": path},
            "embedder": {"name": "none"},
            "generator": {"provider": "vllm", "model": "m", "base_url": url},
            "schedule": {"after_messages": 1, "tick_s": 0.05, "close_s": 0.0},
        }
    )
    memory = MemoryScope.open(config=config)
    memory.start()
    try:
        memory.record("I live in Lisbon.", scope="ann")
        asyncio.run(_forever(memory))
    except KeyboardInterrupt:
        memory.close()
        sys.stdout.write("closed\n")


async def _forever(memory: MemoryScope) -> None:
    said = ""
    while True:
        place = memory.stats().detail["background"]
        if place != said and place[-1].isdigit():
            said = place
            sys.stdout.write(f"{place.rpartition(' ')[2]}\n")
            sys.stdout.flush()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
