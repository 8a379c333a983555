"""Bytes of a text file as text.

The encoding of a file without a mark is not guessed: of a few Chinese characters in GBK the
usual statistics make Korean, and nobody would notice before the answers are wrong.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from memoryscope_rag.errors import InvalidInput

# UTF-32's mark begins with UTF-16's, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ADVICE = (
    "name its encoding: gb18030 (Chinese, also GBK), big5 (traditional Chinese), shift_jis, "
    "euc_kr, cp1252 (Western Europe), cp1251 (Cyrillic) …"
)


def decoded(data: bytes, path: Path, encoding: str | None = None) -> str:
    """``data`` as text with ``\\n`` at line ends, without a byte order mark.

    Raises:
        InvalidInput: the encoding is unknown, the bytes are not of it, or they are no text.
    """
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    used = encoding or marked or "utf-8"
    try:
        text = data.decode(used)
    except LookupError:
        raise InvalidInput("encoding", f"{used!r} is unknown; {_ADVICE}") from None
    except UnicodeError as error:
        advice = "" if encoding or marked else f"; {_ADVICE}"
        raise InvalidInput("document", f"{path} is not {used}: {error}{advice}") from None
    if "\0" in text:
        raise InvalidInput("document", f"{path} holds NUL characters, so it is no {used} text")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
