"""Memory where agents are built: one module a framework, each with the extra of its name.

All are thin over :class:`~.session_memory.SessionMemory`, and import their framework alone.
"""

from memoryscope_rag.adapters.door import MemoryDoor
from memoryscope_rag.adapters.session_memory import Recalled, SessionMemory, Turn

__all__ = ["MemoryDoor", "Recalled", "SessionMemory", "Turn"]
