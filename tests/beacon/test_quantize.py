"""Fewer bits: how close, how small, and equal to the slow way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.beacon.files.quantize import (
    ENCODINGS,
    GROUP,
    Encoding,
    decode,
    encode,
    is_exact,
    shapes,
)
from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import FloatArray
from tests.beacon.random_states import random_rows


def _through(rows: Rows, encoding: Encoding) -> Rows:
    return decode(encode(rows, encoding), encoding, rows.keys.dtype, "cpu")


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """The least over all rows."""
    return float(torch.cosine_similarity(one.float(), other.float(), dim=-1).min())


@pytest.mark.parametrize(("encoding", "least"), [("int8", 0.9995), ("int4", 0.98)])
@pytest.mark.parametrize("head_dim", [64, 128])
def test_n7_quantised_rows_point_where_they_did(
    encoding: Encoding, least: float, head_dim: int
) -> None:
    source = torch.Generator().manual_seed(head_dim)
    rows = random_rows(source, 200, layers=4, head_dim=head_dim)
    held = _through(rows, encoding)
    assert _cosine(rows.keys, held.keys) >= least
    assert _cosine(rows.values, held.values) >= least


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_exact_encodings_are_exact(encoding: Encoding, dtype: torch.dtype) -> None:
    rows = random_rows(torch.Generator().manual_seed(0), 70, dtype=dtype)
    held = _through(rows, encoding)
    assert held.keys.dtype == dtype
    same = torch.equal(rows.keys, held.keys) and torch.equal(rows.values, held.values)
    assert same == is_exact(encoding, dtype)


def _slowly(numbers: FloatArray, encoding: Encoding) -> FloatArray:
    """What one group becomes, by the definition."""
    low, most = (0, 15) if encoding == "int4" else (-127, 127)
    zero = np.float32(np.float16(numbers.min())) if encoding == "int4" else np.float32(0)
    reach = numbers.max() - zero if encoding == "int4" else np.abs(numbers).max()
    scale = np.float32(np.float16(reach / np.float32(most)))
    found = np.empty_like(numbers)
    for place, number in enumerate(numbers):
        code = np.round((number - zero) / scale) if scale > 0 else np.float32(0)
        found[place] = zero + scale * np.float32(min(max(code, low), most))
    return found


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 2 * GROUP + 3),
    head_dim=st.sampled_from([2, 8, 80]),
    seed=st.integers(0, 1000),
    encoding=st.sampled_from(["int8", "int4"]),
)
def test_groups_are_channels_of_keys_and_tokens_of_values(
    rows: int, head_dim: int, seed: int, encoding: Encoding
) -> None:
    source = torch.Generator().manual_seed(seed)
    given_rows = random_rows(source, rows, layers=1, heads=1, head_dim=head_dim)
    held = _through(given_rows, encoding)
    pairs = (
        (given_rows.keys[0, 0].T, held.keys[0, 0].T),
        (given_rows.values[0, 0], held.values[0, 0]),
    )
    for one, other in pairs:
        for line, found in zip(one.numpy(), other.numpy(), strict=True):
            groups = [line[start : start + GROUP] for start in range(0, len(line), GROUP)]
            assert np.array_equal(found, np.concatenate([_slowly(g, encoding) for g in groups]))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("layers", [0, 3])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65])
def test_shapes_are_those_of_what_is_made(encoding: Encoding, layers: int, count: int) -> None:
    rows = random_rows(torch.Generator().manual_seed(1), count, layers=layers, head_dim=80)
    made = {name: (t.dtype, tuple(t.shape)) for name, t in encode(rows, encoding).items()}
    assert made == shapes(layers, 2, count, 80, encoding)
    assert _through(rows, encoding).keys.shape == rows.keys.shape


@pytest.mark.parametrize("encoding", ["int8", "int4"])
def test_equal_values_stay(encoding: Encoding) -> None:
    for value in (0.0, 1.5, -300.0):
        rows = Rows(torch.full((1, 1, 5, 8), value), torch.full((1, 1, 5, 8), value))
        held = _through(rows, encoding)
        assert torch.allclose(held.keys, rows.keys, rtol=1e-3)
        assert torch.allclose(held.values, rows.values, rtol=1e-3)


@pytest.mark.parametrize("encoding", ["int8", "int4"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_what_has_no_scale_is_refused(encoding: Encoding, value: float) -> None:
    rows = random_rows(torch.Generator().manual_seed(1), 4)
    rows.values[1, 0, 2, 3] = value
    with pytest.raises(InvalidInput, match="values that are not finite"):
        encode(rows, encoding)
