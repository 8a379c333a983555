"""Memory where agents are built: one module a framework, each with the extra of its name.

All but LangGraph's store are thin over :class:`~.session_memory.SessionMemory`. Each imports its
framework alone.
"""

from memoryscope_rag.adapters.door import MemoryDoor
from memoryscope_rag.adapters.session_memory import Recalled, SessionMemory, Turn

__all__ = ["MemoryDoor", "Recalled", "SessionMemory", "Turn"]
