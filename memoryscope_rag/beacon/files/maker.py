"""What a memory depends on besides the messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memoryscope_rag.beacon.engine import BeaconEngine


@dataclass(frozen=True, slots=True)
class Maker:
    """Fingerprints of what made a memory; one of another maker cannot be gone on with.

    Attributes:
        origin: the engine's: base and beacon weights, settings, compressor.
        tokenizer: how texts became tokens.
        prompt: what stands around the messages.
    """

    origin: str
    tokenizer: str = ""
    prompt: str = ""

    @classmethod
    def of(cls, engine: BeaconEngine, prompts: Iterable[str] = ()) -> Maker:
        """The maker of an engine's memories, when messages are put into ``prompts``."""
        tokenizer = "" if engine.tokenizer is None else _tokenizer_fingerprint(engine.tokenizer)
        return cls(engine.origin, tokenizer, _hash(list(prompts)))

    def differences(self, other: Maker) -> tuple[str, ...]:
        """The names of the parts in which the two are not the same."""
        names = (field.name for field in fields(self))
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


def _tokenizer_fingerprint(tokenizer: Any) -> str:
    """Over all that decides on tokens, but for how a call cuts or fills up its texts."""
    described: Any = sorted(tokenizer.get_vocab().items())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        whole = json.loads(backend.to_str())
        described = {key: whole[key] for key in whole.keys() - {"padding", "truncation"}}
    return _hash([described, tokenizer.chat_template])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
