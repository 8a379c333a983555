"""Opening an ONNX graph: session options, what it asks for, what it gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from memoryscope_rag.errors import ModelCorrupt, ModelError

_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
_HIDDEN = ("last_hidden_state", "token_embeddings")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def graph_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its classes share no base but ``Exception``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
        RuntimeError,
        ValueError,
    )


def open_graph(path: Path) -> Any:
    """An inference session on the CPU; a run stays in the thread that asks for it.

    Raises:
        ModelCorrupt: the file is no ONNX graph.
        ModelError: its inputs or outputs are not those of a text encoder.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    # Threads that share a text wait for the slowest of them. Two cores, idle: a query takes 6.0 ms
    # in one thread, 5.7 in two; both busy: 11 and 12 to 20, and texts side by side 90/s and 58/s.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: the host's stderr is not ours
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except graph_errors() as error:
        raise ModelCorrupt(f"{path} is no ONNX graph that can be run: {error}") from error
    unknown = {item.name for item in session.get_inputs()} - _INPUTS
    if unknown:
        raise ModelError(f"{path} asks for {', '.join(sorted(unknown))}: not a text encoder")
    hidden_output(session)
    return session


def hidden_output(session: Any) -> tuple[str, int]:
    """Name and width of the output that holds a vector for each token.

    Raises:
        ModelError: there is none of shape (texts, tokens, width).
    """
    outputs = {item.name: item.shape for item in session.get_outputs()}
    names = [name for name in _HIDDEN if name in outputs] + list(outputs)
    for name in names:
        shape = outputs[name]
        if len(shape) == 3 and isinstance(shape[2], int):
            return name, shape[2]
    raise ModelError(f"no output of shape (texts, tokens, width) among {outputs}")
