"""Files as text: plain text, Markdown, PDF and Word.

A file is read whole. What cannot be read faithfully (another kind of file, an unknown encoding, a
password, scanned pages) is refused with the way out; nothing is guessed.
"""

from __future__ import annotations

from pathlib import Path

from memoryscope_rag.documents.pdf import pdf_text
from memoryscope_rag.documents.plain_text import decoded
from memoryscope_rag.documents.word import docx_text
from memoryscope_rag.errors import InvalidInput, suggest

MAX_BYTES = 64 * 2**20
"""Largest file, in bytes."""
MAX_CHARACTERS = 20_000_000
"""Longest text of one document: about five million tokens of English."""

_PLAIN = (".txt", ".md", ".markdown")
_BINARY = {".pdf": pdf_text, ".docx": docx_text}
SUFFIXES = (*_PLAIN, *_BINARY)
"""The endings of the files that can be read, in lower case."""


def read_document(path: str | Path, *, encoding: str | None = None) -> str:
    """The text of a file, its line ends as ``\\n``; the ending of the name says what it is.

    A PDF gives the text of its pages in order, a Word file its paragraphs and tables, a row a line
    with tabs between the cells. Pictures, headers, footnotes, text boxes and tracked changes are
    not read.

    Args:
        path: a file that ends in one of :data:`SUFFIXES`, at most :data:`MAX_BYTES` large.
        encoding: that of a plain text or Markdown file. Without it a byte order mark decides, and
            a file without one has to be UTF-8.

    Raises:
        InvalidInput: there is no such file, its kind is unknown, it is too large, damaged,
            encrypted, or without text; says what to do.
        MissingExtra: a PDF or Word file, and the extra ``documents`` is not installed.
    """
    path = Path(path)
    _suffix(path, encoding)
    return document_text(_content(path), path, encoding=encoding)


def document_text(data: bytes, path: Path, *, encoding: str | None = None) -> str:
    """The text of a file that holds ``data``; its name alone is looked at, as it may lie nowhere.

    Otherwise as :func:`read_document`.
    """
    suffix = _suffix(path, encoding)
    text = decoded(data, path, encoding) if suffix in _PLAIN else _BINARY[suffix](data, path)
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(
            "document", f"{path} has {len(text)} characters, the limit is {MAX_CHARACTERS}"
        )
    if not text.strip():
        raise InvalidInput("document", f"{path} holds no text")
    return text


def _suffix(path: Path, encoding: str | None) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput("document", f"{path} ends in {suffix!r}; {suggest(suffix, SUFFIXES)}")
    if encoding is not None and suffix not in _PLAIN:
        raise InvalidInput("encoding", f"is not for a {suffix} file, which names its own")
    return suffix


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput("document", f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidInput("document", f"{path} is larger than {MAX_BYTES} bytes; split it")
    return data
