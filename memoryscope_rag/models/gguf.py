"""From a GGUF file to a transformers folder, once; afterwards nobody needs ``gguf`` any more.

The conversion runs in a process of its own: it takes some 20 s and 2 GB, and draws progress
bars that transformers has no switch for. Weights are stored as bfloat16, which keeps more than
the four or eight bits that they were quantised to.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from memoryscope_rag.errors import MissingExtra, ModelCorrupt
from memoryscope_rag.models.files import MANIFEST_NAME, check_sha256, sha256_of
from memoryscope_rag.models.staging import staged

_NEEDED = ("torch", "transformers", "safetensors", "gguf", "accelerate")
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from memoryscope_rag.models.gguf import dequantise;"
    "dequantise(sys.argv[2], sys.argv[3], sys.argv[4] == 'digits')"
)


def convert(
    source: Path,
    folder: Path,
    *,
    sha256: str | None = None,
    single_digits: bool = False,
    check: Callable[[Path], None] | None = None,
    replace: bool = False,
) -> Path:
    """Make ``folder`` a transformers folder with the weights of ``source``.

    Safe when several processes do so at once. Takes some 20 s for 135 M parameters.

    Args:
        sha256: the checksum that ``source`` must have.
        single_digits: numbers go into the model digit by digit.
        check: looks at the new folder before it is put in place, and may refuse it.
        replace: whether a ``folder`` that is there already is wrong.

    Raises:
        MissingExtra: the packages are not there.
        ModelCorrupt: it is another file than wanted, or none that transformers can read.
        ModelError: there is no such file, or the disk is full.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("transformers", f"reading {source.name}")
    found = check_sha256(source, sha256, "that was pinned")
    with staged(folder, replace=replace) as fresh:
        arguments = [str(source.resolve()), str(fresh), "digits" if single_digits else ""]
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, json.dumps(sys.path), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise ModelCorrupt(f"{source} cannot be read as a model: {last}")
        if check is not None:
            check(fresh)
        record_checksums(fresh, folder.name, source=source.name, source_sha256=found)
    return folder


def record_checksums(folder: Path, model: str, **origin: str) -> None:
    """Write down the checksums of all files of ``folder``, and where they came from."""
    sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    text = json.dumps({"model": model, **origin, "sha256": sums}, indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def dequantise(source: str, target: str, single_digits: bool) -> None:
    """What the process of :func:`convert` does."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = Path(source)
    tokenizer = AutoTokenizer.from_pretrained(
        str(path.parent), gguf_file=path.name, trust_remote_code=False
    )
    if single_digits:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    tokenizer.save_pretrained(target)
    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32, trust_remote_code=False
    )
    weights: dict[str, torch.Tensor] = {}
    stored: set[tuple[int, torch.Size]] = set()
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in stored:  # the others are tied to it
            stored.add(place)
            weights[name] = tensor.to(torch.bfloat16).contiguous()
    stored_in = Path(target) / "model.safetensors"
    save_file(weights, stored_in, metadata={"format": "pt"})
    shutil.copymode(Path(target) / "tokenizer.json", stored_in)  # save_file lets only us read it
    # save_pretrained refuses what was read from GGUF
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config.pop("_name_or_path", None)
    config.pop("_model_name_or_path", None)
    config |= {"dtype": "bfloat16", "architectures": [type(model).__name__]}
    (Path(target) / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    model.generation_config.save_pretrained(target)
