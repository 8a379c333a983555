"""Vectors in a FAISS index that can be searched, grown, and written down.

Kinds (Johnson, Douze, Jégou, "Billion-scale similarity search with GPUs", 2019; Malkov, Yashunin,
"Efficient and robust approximate nearest neighbor search using HNSW graphs", 2018):

- ``flat`` compares with every vector: exact, and right up to some hundred thousand;
- ``ivf`` looks into the lists nearest to the query, an eighth of them, at least 16;
- ``hnsw`` walks a graph; the fastest search, the slowest growth, on the CPU only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.documents.chunking import check_lengths
from memoryscope_rag.errors import InvalidInput, MissingExtra, StoreCorrupt, suggest
from memoryscope_rag.ports import FloatArray
from memoryscope_rag.stores.vector_index import import_faiss

Metric = Literal["cos", "ip", "l2"]
IndexKind = Literal["flat", "ivf", "hnsw"]
Storage = Literal["fp32", "fp16"]
Device = Literal["auto", "cpu", "gpu"]

_CHOICES = {
    "metric": get_args(Metric),
    "kind": get_args(IndexKind),
    "storage": get_args(Storage),
    "device": get_args(Device),
}
_LINKS = 32
"""Neighbours of a vector in an HNSW graph."""
_BUILD_WIDTH = 100
_SEARCH_WIDTH = 128
"""Candidates that HNSW keeps while it inserts and while it searches."""
_PROBE_SHARE = 8
_LEAST_PROBES = 16
_GPU_TEMPORARY = 64 * 2**20
"""Bytes that FAISS takes on a GPU for itself; left alone it takes 1.5 GiB."""
_GPU_HITS = 2048
"""Most hits of one query that FAISS finds on a GPU."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How documents are cut and their vectors compared; an index keeps these for life.

    Attributes:
        metric: ``cos``, ``ip`` (inner product) or ``l2``. The embedders of this package give unit
            vectors, for which all three find the same.
        kind: ``flat``, ``ivf`` or ``hnsw``.
        storage: ``fp16`` halves the size and moves a cosine by less than 0.001.
        tokens: of a chunk, at most; fewer where the model reads fewer.
        overlap: tokens of a chunk that the next one repeats, at most.
    """

    metric: Metric = "cos"
    kind: IndexKind = "flat"
    storage: Storage = "fp32"
    tokens: int = 512
    overlap: int = 0

    def __post_init__(self) -> None:
        for name in ("metric", "kind", "storage"):
            _check_choice(name, getattr(self, name))
        check_lengths(self.tokens, self.overlap)


class Vectors:
    """Rows of ``dimension`` numbers, numbered as they came. Not safe for threads by itself.

    ``device`` says where it is searched: ``auto`` is the first GPU if FAISS has one and the kind
    can be searched there, else the CPU. What is written down is the same.

    Raises:
        InvalidInput: ``gpu`` is asked for where there is none or for ``hnsw``.
        MissingExtra: ``gpu`` is asked for and FAISS is the CPU's.
    """

    def __init__(self, dimension: int, options: IndexOptions, device: Device = "auto") -> None:
        self._options = options
        self._gpu = _wants_gpu(device, options.kind)
        self._index = _empty(dimension, options, 0)
        self._on_gpu: Any = None

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: FloatArray) -> None:
        """Append ``rows``, shape ``(n, dimension)``.

        The lists of ``ivf`` are made for the rows that there are, and anew when these have
        multiplied, so that growing costs in all a small multiple of building at once.
        """
        if not len(rows):
            return
        rows = self._prepared(rows)
        total = len(self) + len(rows)
        index = self._index
        if self._options.kind == "ivf" and (
            not index.is_trained or _lists(total) >= 2 * index.nlist
        ):
            rows = np.concatenate([index.reconstruct_n(0, len(self)), rows]) if len(self) else rows
            index = _empty(index.d, self._options, total)
            index.train(rows)
        index.add(rows)
        self._index, self._on_gpu = index, None

    def search(self, queries: FloatArray, hits: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Scores and row numbers ``(len(queries), hits)``, best first, ``-1`` where none is left.

        Higher is nearer: cosine, inner product, or the squared distance with a minus sign.
        """
        if not len(self):
            shape = (len(queries), hits)
            return np.zeros(shape, dtype=np.float32), np.full(shape, -1, dtype=np.int64)
        scores, rows = self._searched(hits).search(
            self._prepared(queries), hits, params=self._parameters(hits)
        )
        return (-scores if self._options.metric == "l2" else scores), rows

    def to_bytes(self) -> bytes:
        """The index in FAISS's own format."""
        return bytes(import_faiss().serialize_index(self._index).data)

    @classmethod
    def from_bytes(
        cls, data: bytes, dimension: int, options: IndexOptions, device: Device = "auto"
    ) -> Vectors:
        """What :meth:`to_bytes` gave.

        Raises:
            StoreCorrupt: it is no index, or one of another kind, metric or dimension.
        """
        result = cls(dimension, options, device)
        index, wanted = _read(data), _read(result.to_bytes())
        if (type(index), index.d, index.metric_type) != (
            type(wanted),
            wanted.d,
            wanted.metric_type,
        ):
            raise StoreCorrupt(f"the vectors are not those of {options} with {dimension} numbers")
        result._index = index
        return result

    def _prepared(self, rows: FloatArray) -> FloatArray:
        if self._options.metric == "cos":
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows / np.maximum(norms, np.float32(1e-12))
        return np.ascontiguousarray(rows, dtype=np.float32)

    def _parameters(self, hits: int) -> Any:
        faiss = import_faiss()
        if self._options.kind == "ivf":
            lists = self._index.nlist
            probes = min(lists, max(_LEAST_PROBES, lists // _PROBE_SHARE))
            return faiss.SearchParametersIVF(nprobe=probes)
        if self._options.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(_SEARCH_WIDTH, 2 * hits))
        return None

    def _searched(self, hits: int) -> Any:
        """The index to search: a copy on the GPU, made when first needed, or the one here."""
        if not self._gpu or hits > _GPU_HITS:
            return self._index
        if self._on_gpu is None:
            self._on_gpu = _copy_on_gpu(self._index, self._options)
        return self._on_gpu


def _check_choice(name: str, value: object) -> None:
    if value not in _CHOICES[name]:
        raise InvalidInput(name, f"{value!r} is unknown; {suggest(str(value), _CHOICES[name])}")


def _read(data: bytes) -> Any:
    try:
        return import_faiss().deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError as error:
        raise StoreCorrupt("the vectors are no FAISS index") from error


def _lists(count: int) -> int:
    """How many lists ``count`` rows are worth: FAISS's advice, and 40 rows to train each."""
    return max(1, min(int(4 * count**0.5), count // 40))


def _empty(dimension: int, options: IndexOptions, count: int) -> Any:
    faiss = import_faiss()
    metric = faiss.METRIC_L2 if options.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    code = "SQfp16" if options.storage == "fp16" else "Flat"
    prefix = {"flat": "", "ivf": f"IVF{_lists(count)},", "hnsw": f"HNSW{_LINKS},"}[options.kind]
    index = faiss.index_factory(dimension, prefix + code, metric)
    if options.kind == "hnsw":
        index.hnsw.efConstruction = _BUILD_WIDTH
    return index


def _wants_gpu(device: Device, kind: IndexKind) -> bool:
    _check_choice("device", device)
    if device == "cpu":
        return False
    faiss = import_faiss()
    built = hasattr(faiss, "StandardGpuResources")
    if device == "auto":
        return built and kind != "hnsw" and faiss.get_num_gpus() > 0
    if not built:
        raise MissingExtra("gpu", "searching on a GPU")
    if kind == "hnsw":
        raise InvalidInput("device", "'gpu' cannot search kind 'hnsw'; take 'flat' or 'ivf'")
    if faiss.get_num_gpus() == 0:
        raise InvalidInput("device", "'gpu', but FAISS finds none here; take 'auto' or 'cpu'")
    return True


def _copy_on_gpu(index: Any, options: IndexOptions) -> Any:
    faiss = import_faiss()
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_GPU_TEMPORARY)
    if options.kind == "ivf":
        copy = faiss.index_cpu_to_gpu(resources, 0, index)
    else:  # a flat index of half floats is one by an option there
        settings = faiss.GpuIndexFlatConfig()
        settings.useFloat16 = options.storage == "fp16"
        copy = faiss.GpuIndexFlat(resources, index.d, index.metric_type, settings)
        copy.add(index.reconstruct_n(0, index.ntotal))
    return copy
