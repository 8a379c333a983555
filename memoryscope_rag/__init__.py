"""Long-term memory for conversational agents: record every message, retrieve what matters.

Importing this imports no model runtime, no framework and no network client; names are loaded
when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memoryscope_rag.app import AsyncMemoryScope as AsyncMemoryScope
    from memoryscope_rag.configs.load import load_config as load_config
    from memoryscope_rag.configs.model import Config as Config
    from memoryscope_rag.errors import InvalidInput as InvalidInput
    from memoryscope_rag.errors import MemoryScopeError as MemoryScopeError
    from memoryscope_rag.schema import Evidence as Evidence
    from memoryscope_rag.schema import EvidenceItem as EvidenceItem
    from memoryscope_rag.schema import Interval as Interval
    from memoryscope_rag.schema import MemoryNode as MemoryNode
    from memoryscope_rag.schema import Message as Message
    from memoryscope_rag.schema import NewMessage as NewMessage
    from memoryscope_rag.schema import Scope as Scope
    from memoryscope_rag.sync import MemoryScope as MemoryScope

__version__ = "0.1.0"

_HOME = {
    "AsyncMemoryScope": "app",
    "Config": "configs.model",
    "Evidence": "schema",
    "EvidenceItem": "schema",
    "Interval": "schema",
    "InvalidInput": "errors",
    "MemoryNode": "schema",
    "MemoryScope": "sync",
    "MemoryScopeError": "errors",
    "Message": "schema",
    "NewMessage": "schema",
    "Scope": "schema",
    "load_config": "configs.load",
}

__all__ = [
    "AsyncMemoryScope",
    "Config",
    "Evidence",
    "EvidenceItem",
    "Interval",
    "InvalidInput",
    "MemoryNode",
    "MemoryScope",
    "MemoryScopeError",
    "Message",
    "NewMessage",
    "Scope",
    "load_config",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
