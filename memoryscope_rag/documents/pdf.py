"""The text of a PDF, by pypdf."""

from __future__ import annotations

import io
from pathlib import Path

from memoryscope_rag.errors import InvalidInput, MissingExtra

# What a parser of damaged files comes upon; pypdf lets it through.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def pdf_text(data: bytes, path: Path) -> str:
    """The text layer of all pages in order, a line end after each.

    Raises:
        InvalidInput: damaged, locked by a password, or without text on any page (scanned).
        MissingExtra: pypdf is not installed.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError
    except ImportError as error:
        raise MissingExtra("documents", "reading a PDF") from error
    try:
        # an empty password, with which many are encrypted, is tried by the reader itself
        pages = [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]
    except (FileNotDecryptedError, DependencyError):
        raise InvalidInput(
            "document", f"{path} is encrypted; save a copy without a password"
        ) from None
    except (PyPdfError, *_DAMAGE) as error:
        raise InvalidInput(
            "document", f"{path} is no PDF that can be read: {type(error).__name__}"
        ) from error
    text = "\n".join(pages)
    if not text.strip():
        raise InvalidInput(
            "document",
            f"{path} has no text on its {len(pages)} pages; if it is scanned, "
            "run text recognition (OCR) over it first",
        )
    # halves of surrogate pairs, which some fonts' tables give, are joined or marked as unreadable
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
