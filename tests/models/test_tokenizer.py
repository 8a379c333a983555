"""The tokenizer built here is the official one of all-MiniLM-L6-v2."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoryscope_rag.errors import ModelCorrupt
from memoryscope_rag.models.tokenizer import bert_uncased, read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Of the vocabulary in the official tokenizer.json, one token a line.
VOCABULARY = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
AWKWARD = [
    *["hello", "Café", "naïve", "unaffable", "3.14", "[SEP]", "[MASK]", "你好", "한국어", "ﬁ", "İ"],
    *["ß", "👩\u200d👩\u200d👧", "e\u0301", "\u200b", "…", "#", "##ing"],
]
TEXTS = st.text(max_size=80) | st.lists(
    st.sampled_from([*AWKWARD, "\t", "\n", " ", "\u3000", "x" * 101])
).map("".join)


def test_the_vocabulary_is_unchanged() -> None:
    data = resources.files("memoryscope_rag.models").joinpath("bert_uncased_vocab.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == VOCABULARY


def test_known_ids() -> None:
    encoding = bert_uncased().encode("Hello, unaffable world!")
    assert encoding.ids == [101, 7592, 1010, 14477, 20961, 3468, 2088, 999, 102]


@pytest.fixture(scope="module")
def pair(models_dir: Path) -> tuple[Tokenizer, Tokenizer]:
    path = models_dir / "all-minilm-l6-v2" / "tokenizer.json"
    if not path.is_file():
        pytest.skip("no official tokenizer.json in MEMORYSCOPE_MODELS")
    return bert_uncased(), read_tokenizer(path)


def test_same_vocabulary(pair: tuple[Tokenizer, Tokenizer]) -> None:
    ours, official = pair
    assert ours.get_vocab() == official.get_vocab()


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS)
def test_same_tokens(pair: tuple[Tokenizer, Tokenizer], text: str) -> None:
    ours, official = (tokenizer.encode(text) for tokenizer in pair)
    assert ours.ids == official.ids
    assert ours.offsets == official.offsets
    assert ours.type_ids == official.type_ids


@pytest.mark.parametrize("content", [b"{", b'{"version": "1.0"}', b"\xff\xfe"])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        read_tokenizer(path)
