"""Keys and values in fewer bits.

Keys have channels that are large in every token, values have not. So numbers that share a scale
are, of keys, those of one channel in up to 64 tokens, and of values up to 64 channels of one token
(KIVI, arXiv 2402.02750, §3.1; KVQuant, arXiv 2401.18079, §3.1). Keys are taken before RoPE, which
would blur their channels (KVQuant, §3.2).

``int8`` is symmetric: ``x ≈ scale · code``. ``int4`` is not: ``x ≈ zero + scale · code``, two codes
a byte. Scales and zeros are fp16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch

from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.errors import InvalidInput

Encoding = Literal["fp32", "bf16", "int8", "int4"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
GROUP = 64
"""Numbers that share a scale; fewer in the last group."""

_PLAIN = {"fp32": torch.float32, "bf16": torch.bfloat16}
Shapes = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def is_exact(encoding: Encoding, dtype: torch.dtype) -> bool:
    """Whether values of ``dtype`` come back from ``encoding`` as they were."""
    return encoding == "fp32" or _PLAIN.get(encoding) == dtype


def encode(rows: Rows, encoding: Encoding) -> dict[str, torch.Tensor]:
    """``keys`` and ``values``, and for integers ``keys.scale`` and so on; see :func:`shapes`.

    Raises:
        InvalidInput: a value is not finite, or so large that its scale is not.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in (("keys", rows.keys), ("values", rows.values)):
        if encoding in _PLAIN:
            tensors[name] = tensor.to(_PLAIN[encoding])
            continue
        across = tensor.float()
        if name == "keys":
            across = across.transpose(2, 3)
        grouped = _grouped(across)
        zero = torch.zeros((), dtype=torch.float16)
        if encoding == "int8":
            scale = (grouped.abs().amax(-1) / 127).half()
            least, most = -127, 127
        else:
            zero = grouped.amin(-1).half()
            scale = ((grouped.amax(-1) - zero.float()) / 15).half()
            least, most = 0, 15
            tensors[f"{name}.zero"] = zero
        if not (scale.isfinite().all() and zero.isfinite().all()):
            raise InvalidInput(
                "state", f"holds {name} that are not finite or beyond half precision"
            )
        tensors[f"{name}.scale"] = scale
        step, offset = _spread(scale.float(), across), _spread(zero.float(), across)
        # a group of equal values has no step, and the code 0
        codes = torch.where(step > 0, (across - offset) / step, 0.0).round().clamp(least, most)
        if name == "keys":
            codes = codes.transpose(2, 3)
        tensors[name] = codes.to(torch.int8) if encoding == "int8" else _packed(codes)
    return tensors


def decode(
    tensors: Mapping[str, torch.Tensor],
    encoding: Encoding,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Rows:
    """The rows that :func:`encode` made ``tensors`` of, about; not copied where nothing changes."""
    found: list[torch.Tensor] = []
    for name in ("keys", "values"):
        tensor = tensors[name].to(device)
        if encoding in _PLAIN:
            found.append(tensor.to(dtype))
            continue
        codes = (tensor if encoding == "int8" else _unpacked(tensor)).float()
        if name == "keys":
            codes = codes.transpose(2, 3)
        codes *= _spread(tensors[f"{name}.scale"].to(device).float(), codes)
        if encoding == "int4":
            codes += _spread(tensors[f"{name}.zero"].to(device).float(), codes)
        if name == "keys":
            codes = codes.transpose(2, 3)
        found.append(codes.to(dtype).contiguous())
    return Rows(found[0], found[1])


def shapes(layers: int, heads: int, rows: int, head_dim: int, encoding: Encoding) -> Shapes:
    """What :func:`encode` makes of rows of this shape: the type and shape of each tensor.

    ``keys`` and ``values`` are ``(layers, heads, rows, head_dim)``, for ``int4`` half as wide;
    the scales of keys ``(layers, heads, head_dim, groups)``, of values ``(layers, heads, rows,
    groups)``. ``head_dim`` is even, as RoPE needs it.
    """
    found: Shapes = {}
    for name in ("keys", "values"):
        if encoding in _PLAIN:
            found[name] = (_PLAIN[encoding], (layers, heads, rows, head_dim))
            continue
        width, kind = (head_dim, torch.int8) if encoding == "int8" else (head_dim // 2, torch.uint8)
        found[name] = (kind, (layers, heads, rows, width))
        rest, along = (head_dim, rows) if name == "keys" else (rows, head_dim)
        for part in ("scale",) if encoding == "int8" else ("scale", "zero"):
            found[f"{name}.{part}"] = (torch.float16, (layers, heads, rest, -(-along // GROUP)))
    return found


def _grouped(tensor: torch.Tensor) -> torch.Tensor:
    """``(…, n)`` as ``(…, groups, GROUP)``; the last group is filled up with the last number."""
    count = tensor.shape[-1]
    groups = -(-count // GROUP)
    places = torch.arange(groups * GROUP, device=tensor.device).clamp(max=max(0, count - 1))
    return tensor[..., places].reshape(*tensor.shape[:-1], groups, GROUP)


def _spread(groups: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``(…, groups)`` as ``(…, n)``: each number's group's."""
    if not groups.dim():
        return groups.to(like.device)
    return groups.repeat_interleave(GROUP, -1)[..., : like.shape[-1]]


def _packed(codes: torch.Tensor) -> torch.Tensor:
    small = codes.to(torch.uint8)
    return small[..., 0::2] | (small[..., 1::2] << 4)


def _unpacked(packed: torch.Tensor) -> torch.Tensor:
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(-2)
