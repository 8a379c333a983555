"""The same from an event loop, many users at once. Run it: python examples/async_backend.py"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from memoryscope_rag import AsyncMemoryScope


async def serve(memory: AsyncMemoryScope, user: str, city: str) -> str:
    """One user's visit: tell something, ask for it."""
    await memory.record(f"I moved to {city} in May", scope=user, speaker=user)
    evidence = await memory.retrieve("Which city did I move to?", scope=user, budget_ms=500)
    return f"{user}: {evidence.text}"


async def main() -> None:
    """Three users at once; none sees another's memory."""
    cities = {"ann": "Lisbon", "bob": "Oslo", "小伟": "成都"}
    with tempfile.TemporaryDirectory() as folder:
        async with await AsyncMemoryScope.open(Path(folder) / "memory.db") as memory:
            visits = (serve(memory, user, city) for user, city in cities.items())
            for line in await asyncio.gather(*visits):
                print(line)


if __name__ == "__main__":
    asyncio.run(main())
