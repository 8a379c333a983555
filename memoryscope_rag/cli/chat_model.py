"""Which model replies at the terminal: the configured one, a small local one, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memoryscope_rag.errors import MissingExtra
from memoryscope_rag.models.chat_presets import CHAT_PRESETS, DEFAULT_CHAT_MODEL
from memoryscope_rag.models.torch_folders import chat_model_state

if TYPE_CHECKING:
    from pydantic import BaseModel

    from memoryscope_rag.cli.settings import Settings
    from memoryscope_rag.configs.model import Config
    from memoryscope_rag.ports import Generator
    from memoryscope_rag.sync import MemoryScope

HOW = "set generator.provider and generator.model, see docs/chat.md"
LOCAL_TOKENS = 600
"""Of evidence, and of history, for a model that reads some hundred tokens a second."""
LOCAL_REPLY = 256


@dataclass(frozen=True)
class ChatModel:
    """What replies: ``name`` is ``None`` for nothing; ``remark`` is one line for the user.

    ``tokens`` bounds the evidence and ``reply_tokens`` the reply where the model is small.
    """

    name: str | None
    remark: str
    tokens: int | None = None
    reply_tokens: int | None = None


def open_memory(
    settings: Settings, *, no_model: bool, wait: Callable[[str], None]
) -> tuple[MemoryScope, ChatModel]:
    """The memory, its file made when it is missing, and what will reply.

    ``wait`` is told what takes long. Raises what opening raises: a model that is configured and
    cannot be used is an error, not a reason to take another one.
    """
    from memoryscope_rag.sync import MemoryScope

    config = settings.config()
    if config.generator.provider != "none" and not no_model:
        model = ChatModel(
            config.generator.model, f"{config.generator.model} at {config.generator.provider}"
        )
        return MemoryScope.open(config=config), model
    off = config.model_copy(
        update={"generator": config.generator.model_copy(update={"provider": "none"})}
    )
    if no_model:
        return MemoryScope.open(config=off), ChatModel(
            None, "none is asked; your words are kept, and what memory holds is shown"
        )
    local = _local(config, wait)
    if local is None:
        return MemoryScope.open(config=off), ChatModel(
            None,
            "none is configured; your words are kept, and what memory holds is shown. "
            f"For replies {HOW}",
        )
    return MemoryScope.open(config=_by_rules(off), generator=local), ChatModel(
        local.model,
        f"{local.model} on this machine: it shows that things run and is no judge of quality. "
        f"For good replies {HOW}",
        LOCAL_TOKENS,
        LOCAL_REPLY,
    )


def _local(config: Config, wait: Callable[[str], None]) -> Generator | None:
    """The small model of the extra ``transformers``, if all of it is there.

    It opens while the user reads and types.
    """
    from memoryscope_rag.models.local import TransformersGenerator

    folder = config.embedder.models_dir
    preset = CHAT_PRESETS[DEFAULT_CHAT_MODEL]
    if chat_model_state(preset, models_dir=folder)[0] != "here":
        return None
    try:
        local = TransformersGenerator.load(
            models_dir=folder, threads=config.generator.threads, wait=False
        )
    except MissingExtra:
        return None
    wait("opening the model of this machine meanwhile; the first time takes half a minute")
    return local


def _by_rules(config: Config) -> Config:
    """Facts are drawn by rules: so small a model may talk, but not write into memory."""
    folder = Path(__file__).parents[1] / "operations"
    tokens = min(LOCAL_TOKENS, config.chat.history_tokens)
    updates: dict[str, BaseModel] = {
        "chat": config.chat.model_copy(update={"history_tokens": tokens})
    }
    if config.consolidation.operation is None:
        updates["consolidation"] = config.consolidation.model_copy(
            update={"operation": folder / "consolidate_by_rules.yaml"}
        )
    if config.reflection.operation is None:
        updates["reflection"] = config.reflection.model_copy(
            update={"operation": folder / "reflect_by_rules.yaml"}
        )
    return config.model_copy(update=updates)
