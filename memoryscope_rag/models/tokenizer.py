"""Tokenizers: from a ``tokenizer.json``, or BERT uncased WordPiece from our own vocabulary.

The vocabulary is that of ``bert-base-uncased`` (Google, Apache-2.0; see NOTICE), which
all-MiniLM-L6-v2 and many others share.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from memoryscope_rag.errors import ModelCorrupt

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def bert_uncased() -> Tokenizer:
    """BERT's uncased WordPiece tokenizer without truncation or padding."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    text = resources.files(__package__).joinpath("bert_uncased_vocab.txt").read_text("utf-8")
    # Not splitlines: it would also cut at characters that are tokens or parts of them.
    vocabulary = {token: index for index, token in enumerate(text.rstrip("\n").split("\n"))}
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab=vocabulary,
            unk_token="[UNK]",
            continuing_subword_prefix="##",
            max_input_chars_per_word=100,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, its own truncation and padding switched off.

    The files carry settings of their own (MiniLM's cuts at 128 tokens and pads to 128).

    Raises:
        ModelCorrupt: the file is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelCorrupt(f"{path} cannot be read: {error}") from error
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the binding raises nothing narrower
        raise ModelCorrupt(f"{path} is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
