"""The text of a Word file (.docx), by python-docx."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from memoryscope_rag.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from docx.blkcntnr import BlockItemContainer
    from docx.document import Document
    from docx.table import Table

MAX_UNPACKED = 128 * 2**20
"""Bytes of all parts of the file when unpacked: a small file may unpack to gigabytes."""

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# What python-docx, zipfile and lxml (whose errors are SyntaxErrors) raise on damaged files.
_DAMAGE = (
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def docx_text(data: bytes, path: Path) -> str:
    """Paragraphs and tables in order, a line each paragraph or row, tabs between cells.

    Raises:
        InvalidInput: damaged, locked by a password, an old ``.doc``, or too large when unpacked.
        MissingExtra: python-docx is not installed.
    """
    try:
        import docx
    except ImportError as error:
        raise MissingExtra("documents", "reading a Word file") from error
    if data.startswith(_OLE):
        raise InvalidInput(
            "document", f"{path} is encrypted or an old .doc; save it as .docx without a password"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > MAX_UNPACKED:
            raise InvalidInput(
                "document", f"{path} unpacks to {unpacked} bytes, the limit is {MAX_UNPACKED}"
            )
        return "\n".join(_lines(docx.Document(io.BytesIO(data))))
    except InvalidInput:
        raise
    except _DAMAGE as error:
        raise InvalidInput(
            "document", f"{path} is no Word file that can be read: {type(error).__name__}"
        ) from error


def _lines(container: Document | BlockItemContainer) -> Iterator[str]:
    from docx.text.paragraph import Paragraph

    for block in container.iter_inner_content():
        if isinstance(block, Paragraph):
            yield block.text
        else:
            yield from _rows(block)


def _rows(table: Table) -> Iterator[str]:
    seen = set()  # a merged cell comes once for every place that it covers
    for row in table.rows:
        texts = []
        for cell in row.cells:
            if cell._tc not in seen:
                seen.add(cell._tc)
                texts.append(" ".join(line for line in _lines(cell) if line))
        yield "\t".join(texts)
