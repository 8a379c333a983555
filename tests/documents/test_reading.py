"""Every kind of file gives its text, or a reason that says what to do."""

from __future__ import annotations

import codecs
import sys
import zipfile
from pathlib import Path

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from memoryscope_rag.documents import reading, word
from memoryscope_rag.documents.reading import SUFFIXES, read_document
from memoryscope_rag.errors import InvalidInput, MissingExtra
from tests.documents.samples import CHINESE, ENGLISH


def pdf(path: Path, pages: list[str], *, password: str | None = None) -> Path:
    """A PDF with a line of text on each page; an empty string is a page without any."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for line in pages:
        page = writer.add_blank_page(612, 792)
        if not line:
            continue
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET".encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(content)
    if password is not None:
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    writer.write(path)
    writer.close()
    return path


def word_file(path: Path) -> Path:
    """A heading, a table with a merged cell, and a paragraph after it."""
    document = docx.Document()
    document.add_heading("The garden", level=1)
    document.add_paragraph("Plums ripen in August.")
    table = document.add_table(rows=2, cols=3)
    for number, text in enumerate(("tree", "planted", "height", "plum", "", "")):
        table.cell(number // 3, number % 3).text = text
    table.cell(1, 1).merge(table.cell(1, 2)).text = "unknown"
    document.add_paragraph("园子里有李子树。")
    document.save(str(path))
    return path


@pytest.mark.parametrize("suffix", [".txt", ".md", ".markdown", ".TXT"])
def test_plain_text(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes((ENGLISH + CHINESE).encode())
    assert read_document(path) == read_document(str(path)) == ENGLISH + CHINESE


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_names_the_encoding(mark: bytes, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(mark + CHINESE.encode(encoding))
    assert read_document(path) == CHINESE


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-8"])
def test_an_encoding_can_be_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("周三不开门。\r\n二楼\r".encode(encoding))
    assert read_document(path, encoding=encoding) == "周三不开门。\n二楼\n"


def test_an_encoding_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("周三不开门。".encode("gbk"))
    with pytest.raises(InvalidInput, match=r"a\.txt is not utf-8.*gb18030 \(Chinese"):
        read_document(path)
    with pytest.raises(InvalidInput, match="is not ascii"):
        read_document(path, encoding="ascii")
    with pytest.raises(InvalidInput, match="'gb18031' is unknown; name its encoding"):
        read_document(path, encoding="gb18031")


def test_pdf(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", ["The boiler is old.", "", "Dogs are welcome."])
    text = read_document(path)
    assert text.index("The boiler is old.") < text.index("Dogs are welcome.")


def test_a_pdf_with_an_empty_password_opens(tmp_path: Path) -> None:
    assert "old" in read_document(pdf(tmp_path / "a.pdf", ["The boiler is old."], password=""))


def test_an_encrypted_pdf_is_refused(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", ["The boiler is old."], password="secret")
    with pytest.raises(InvalidInput, match="encrypted; save a copy without a password"):
        read_document(path)


def test_a_scanned_pdf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no text on its 2 pages.*OCR"):
        read_document(pdf(tmp_path / "a.pdf", ["", ""]))


@pytest.mark.parametrize("cut", [0, 5, 60, 300])
def test_a_damaged_pdf_is_refused(cut: int, tmp_path: Path) -> None:
    whole = pdf(tmp_path / "a.pdf", ["The boiler is old."]).read_bytes()
    path = tmp_path / "b.pdf"
    path.write_bytes(whole[:cut])
    with pytest.raises(InvalidInput, match=r"b\.pdf is no PDF"):
        read_document(path)


def test_word(tmp_path: Path) -> None:
    assert read_document(word_file(tmp_path / "a.docx")).split("\n") == [
        "The garden",
        "Plums ripen in August.",
        "tree\tplanted\theight",
        "plum\tunknown",
        "园子里有李子树。",
    ]


def test_what_is_no_word_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(word_file(tmp_path / "b.docx").read_bytes()[:2000])
    with pytest.raises(InvalidInput, match="no Word file that can be read: BadZipFile"):
        read_document(path)
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("readme", "no part of a document")
    with pytest.raises(InvalidInput, match="no Word file that can be read: KeyError"):
        read_document(path)
    with (
        zipfile.ZipFile(tmp_path / "b.docx") as good,
        zipfile.ZipFile(path, "w") as broken,
    ):
        for part in good.infolist():
            damaged = part.filename == "word/document.xml"
            broken.writestr(part, b"<w:document" if damaged else good.read(part))
    with pytest.raises(InvalidInput, match="no Word file that can be read: XMLSyntaxError"):
        read_document(path)
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 512)
    with pytest.raises(InvalidInput, match=r"encrypted or an old \.doc"):
        read_document(path)


def test_a_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = word_file(tmp_path / "a.docx")
    monkeypatch.setattr(word, "MAX_UNPACKED", 10_000)
    with pytest.raises(InvalidInput, match="the limit is 10000"):
        read_document(path)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"word " * 100)
    monkeypatch.setattr(reading, "MAX_BYTES", 499)
    with pytest.raises(InvalidInput, match="larger than 499 bytes"):
        read_document(path)
    monkeypatch.undo()
    monkeypatch.setattr(reading, "MAX_CHARACTERS", 499)
    with pytest.raises(InvalidInput, match="has 500 characters, the limit is 499"):
        read_document(path)


def test_other_files_are_refused_with_the_known_kinds(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_document(tmp_path / "a.doc")
    assert all(suffix in str(caught.value) for suffix in SUFFIXES)
    with pytest.raises(InvalidInput, match=r"cannot read .*a\.txt: No such file"):
        read_document(tmp_path / "a.txt")
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(InvalidInput, match=r"cannot read .*b\.txt"):
        read_document(tmp_path / "b.txt")
    with pytest.raises(InvalidInput, match=r"not for a \.pdf file"):
        read_document(tmp_path / "a.pdf", encoding="utf-8")
    (tmp_path / "c.txt").write_bytes(b"\x7fELF\0\0\0")
    with pytest.raises(InvalidInput, match="NUL"):
        read_document(tmp_path / "c.txt")
    (tmp_path / "d.md").write_bytes(b" \n\t")
    with pytest.raises(InvalidInput, match="holds no text"):
        read_document(tmp_path / "d.md")


@pytest.mark.parametrize(("suffix", "package"), [(".pdf", "pypdf"), (".docx", "docx")])
def test_the_extra_is_named(
    suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"memoryscope-rag\[documents\]"):
        read_document(tmp_path / f"a{suffix}")
