"""A text cut into chunks of so many tokens, at the ends of paragraphs and sentences.

``semantic-text-splitter`` chooses the places; what fits is for the embedder to say. A chunk
longer than the model reads would be found by its beginning alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memoryscope_rag.documents.reading import MAX_CHARACTERS
from memoryscope_rag.errors import InvalidInput, MissingExtra
from memoryscope_rag.models import segment
from memoryscope_rag.models.segment import IntArray, Span
from memoryscope_rag.models.tokenizer import bert_uncased
from memoryscope_rag.schema import check_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHARS_A_TOKEN = 20
"""A token counts for at most so many characters: WordPiece reads a long blob as one unknown."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: ``text`` is what stands at ``start:end`` (characters) in it.

    ``index`` counts the chunks in the order of the document, or of all documents of an index;
    ``tokens`` is its length, without special tokens; ``source`` names the document.
    """

    text: str
    index: int
    start: int
    end: int
    tokens: int
    source: str = ""


def chunk_text(
    text: str,
    tokens: int = 512,
    *,
    tokenizer: Tokenizer | None = None,
    overlap: int = 0,
    pieces: Callable[[str], Sequence[Span]] | None = None,
) -> tuple[Chunk, ...]:
    """Chunks of ``text`` in order; nothing but white space lies between them.

    127 000 tokens of English take 2.4 s on one core, with ``pieces`` 4.7 s. Linear in the text, but
    for a sentence of tens of thousands of characters, in whose length it is quadratic.

    Args:
        text: at most 20 million characters.
        tokens: the most that a chunk may hold. A single character of more tokens stays whole.
        tokenizer: counts the tokens; by default BERT's uncased WordPiece, for which a Chinese
            character is one. It must neither cut nor pad.
        overlap: at most so many tokens at the end of a chunk are repeated in the next one.
        pieces: an embedder's :meth:`~memoryscope_rag.ports.Embedder.pieces`; no chunk is longer
            than that embedder reads.

    Raises:
        InvalidInput: the text is too long or holds a lone surrogate; ``tokens`` or ``overlap`` is
            out of range; the tokenizer cuts or pads.
        MissingExtra: the extra ``documents`` is not installed.
    """
    try:
        from semantic_text_splitter import TextSplitter
    except ImportError as error:
        raise MissingExtra("documents", "chunk_text") from error
    check_text("text", text, limit=MAX_CHARACTERS)
    check_lengths(tokens, overlap)
    starts = _reader(bert_uncased() if tokenizer is None else tokenizer)

    def count(part: str) -> int:
        return max(len(starts(part)), -(-len(part) // _CHARS_A_TOKEN))

    def fitting(part: str) -> Sequence[Span]:
        spans = segment.pieces(part, starts, tokens)
        return spans if len(spans) > 1 or pieces is None else pieces(part)

    def size(part: str) -> int:
        if len(part) > tokens * _CHARS_A_TOKEN:  # the rest of a text without sentences, mostly
            return tokens + 1
        found = count(part)
        whole = found > tokens or pieces is None or len(pieces(part)) == 1
        return found if whole else tokens + 1

    splitter = TextSplitter.from_callback(size, tokens, overlap)
    spans = [
        span
        for start, part in splitter.chunk_indices(text)
        # The splitter takes what has no more bytes than ``tokens`` for fitting, unasked.
        for span in _refitted(text, start, start + len(part), fitting)
    ]
    return tuple(
        Chunk(text[start:end], index, start, end, count(text[start:end]))
        for index, (start, end) in enumerate(spans)
    )


def check_lengths(tokens: int, overlap: int) -> None:
    """Raises InvalidInput unless chunks can have these lengths, in tokens."""
    if tokens < 1:
        raise InvalidInput("tokens", f"is {tokens}, must be at least 1")
    if not 0 <= overlap < tokens:
        raise InvalidInput("overlap", f"{overlap} is not in 0..{tokens - 1}")


def _refitted(
    text: str, start: int, end: int, fitting: Callable[[str], Sequence[Span]]
) -> Iterator[Span]:
    """``start:end`` as it is or in parts that fit, without white space around them."""
    spans = fitting(text[start:end])
    if len(spans) == 1:
        yield start, end
        return
    for first, last in spans:
        part = text[start + first : start + last]
        inner = part.strip()
        if inner:
            begin = start + first + part.index(inner)
            yield from _refitted(text, begin, begin + len(inner), fitting)


def _reader(tokenizer: Tokenizer) -> Callable[[str], IntArray]:
    """Where the tokens of a text begin, in characters."""
    if tokenizer.truncation is not None or tokenizer.padding is not None:
        raise InvalidInput("tokenizer", "cuts or pads; call no_truncation() and no_padding()")

    def starts(part: str) -> IntArray:
        offsets = tokenizer.encode(part, add_special_tokens=False).offsets
        found = np.fromiter((start for start, _ in offsets), dtype=np.int64, count=len(offsets))
        return np.maximum.accumulate(found) if len(found) else found

    return starts
