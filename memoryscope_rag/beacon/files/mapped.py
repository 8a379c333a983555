"""Safetensors files, written at once and read by memory map."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from memoryscope_rag.beacon.files.manifest import REMEDY
from memoryscope_rag.beacon.files.quantize import Shapes
from memoryscope_rag.errors import StoreCorrupt

_TYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
}


def serialized(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The content of a file with ``tensors``."""
    # copied, since views of one tensor are refused
    held = {key: t.detach().to("cpu", copy=True).contiguous() for key, t in tensors.items()}
    return save(held)


@dataclass(frozen=True, slots=True, eq=False)
class MappedFile:
    """A checked file. Its pages are read when they are needed, also after it was removed."""

    sha256: str
    path: Path
    nbytes: int
    _file: Any

    @classmethod
    def open(cls, path: Path, sha256: str, size: int, wanted: Shapes) -> MappedFile:
        """Map the file at ``path``, which must be the one with this checksum and these tensors.

        Nothing but the map is allocated before all of that is known.

        Raises:
            FileNotFoundError: it is not there.
            StoreCorrupt: it is another, or cannot be read.
        """
        try:
            with path.open("rb") as stream:
                held = stream.seek(0, 2)
                if held != size:
                    raise _corrupt(path, f"has {held} bytes, not {size}: it was cut or added to")
                stream.seek(0)
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != sha256:
                raise _corrupt(path, "is not the file that was saved: its checksum is another")
            file: Any = safe_open(path, framework="pt")
        except FileNotFoundError:
            raise
        except (OSError, SafetensorError) as error:
            raise _corrupt(path, f"cannot be read: {error}") from error
        found = {}
        for key in file.keys():  # noqa: SIM118 - it is no mapping
            part = file.get_slice(key)
            found[key] = (part.get_dtype(), tuple(part.get_shape()))
        if found != {key: (_TYPES[dtype], shape) for key, (dtype, shape) in wanted.items()}:
            raise _corrupt(path, "has other tensors than its manifest says")
        return cls(sha256, path, size, file)

    def tensor(self, key: str) -> torch.Tensor:
        """A tensor of the file, on the CPU: the mapped pages themselves. Not to be written to."""
        found: torch.Tensor = self._file.get_tensor(key)
        return found


def _corrupt(path: Path, problem: str) -> StoreCorrupt:
    return StoreCorrupt(f"{path} {problem}; its folder is of no use: {REMEDY}")
