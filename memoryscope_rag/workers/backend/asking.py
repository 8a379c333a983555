"""What workers that ask a chat model share."""

from __future__ import annotations

from typing import TypeVar

from memoryscope_rag.errors import ConfigError
from memoryscope_rag.ports import Generator
from memoryscope_rag.workers.base import Worker

State = TypeVar("State")


def generator_of(worker: Worker[State]) -> Generator:
    """The chat model; ConfigError where the application has none."""
    generator = worker.services.generator
    if generator is None:
        raise ConfigError(
            f"worker {worker.name!r} needs a language model; set 'generator' in the settings, "
            "or choose an operation that works by rules"
        )
    return generator
