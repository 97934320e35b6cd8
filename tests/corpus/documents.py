"""Documents of our own making, a kind a function: small, well-formed, the same bytes each time.

They make the tests mean something where no other corpus is there. Each shows `text`, so that a test can look for it in
the flattened PDF.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pymupdf

from sandbox.guest import hwpx

OOXML = "http://schemas.openxmlformats.org/"
WORD = f"{OOXML}wordprocessingml/2006/main"
SHEET = f"{OOXML}spreadsheetml/2006/main"
SLIDE = f"{OOXML}presentationml/2006/main"
DRAWING = f"{OOXML}drawingml/2006/main"
RELATIONS = f"{OOXML}officeDocument/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
TYPES = "application/vnd.openxmlformats-officedocument."


def package(members: dict[str, str], mimetype: str = "") -> bytes:
    """A zip of text members with a fixed date; `mimetype` first and stored, as OpenDocument asks."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr(zipfile.ZipInfo("mimetype"), mimetype, zipfile.ZIP_STORED)
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _types(parts: dict[str, str]) -> str:
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{TYPES}{kind}+xml"/>' for name, kind in parts.items()
    )
    defaults = (
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
    )
    return f'{HEAD}<Types xmlns="{OOXML}package/2006/content-types">{defaults}{overrides}</Types>'


def _relations(*targets: tuple[str, str]) -> str:
    rows = "".join(
        f'<Relationship Id="r{number}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'{HEAD}<Relationships xmlns="{OOXML}package/2006/relationships">{rows}</Relationships>'


def docx(text: str = "A letter", pages: int = 1) -> bytes:
    """A Word document."""
    broken = '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'
    body = broken.join(f"<w:p><w:r><w:t>{text} {number}</w:t></w:r></w:p>" for number in range(1, pages + 1))
    return package(
        {
            "[Content_Types].xml": _types({"word/document.xml": "wordprocessingml.document.main"}),
            "_rels/.rels": _relations(("officeDocument", "word/document.xml")),
            "word/document.xml": f'{HEAD}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
        }
    )


def xlsx(text: str = "A sheet", rows: int = 5) -> bytes:
    """An Excel workbook with a column of text and one of numbers."""
    cells = "".join(
        f'<row r="{row}"><c r="A{row}" t="inlineStr"><is><t>{text} {row}</t></is></c>'
        f'<c r="B{row}"><v>{row * 100}</v></c></row>'
        for row in range(1, rows + 1)
    )
    book = '<sheets><sheet name="One" sheetId="1" r:id="r1"/></sheets>'
    return package(
        {
            "[Content_Types].xml": _types(
                {"xl/workbook.xml": "spreadsheetml.sheet.main", "xl/worksheets/sheet1.xml": "spreadsheetml.worksheet"}
            ),
            "_rels/.rels": _relations(("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'{HEAD}<workbook xmlns="{SHEET}" xmlns:r="{RELATIONS}">{book}</workbook>',
            "xl/_rels/workbook.xml.rels": _relations(("worksheet", "worksheets/sheet1.xml")),
            "xl/worksheets/sheet1.xml": f'{HEAD}<worksheet xmlns="{SHEET}"><sheetData>{cells}</sheetData></worksheet>',
        }
    )


def pptx(text: str = "A slide") -> bytes:
    """A PowerPoint presentation of one slide."""
    tree = '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
    box = (
        '<p:sp><p:nvSpPr><p:cNvPr id="2" name="t"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr><p:spPr><a:xfrm>'
        '<a:off x="914400" y="914400"/><a:ext cx="6000000" cy="1000000"/></a:xfrm><a:prstGeom prst="rect"/></p:spPr>'
        f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )
    names = f'xmlns:a="{DRAWING}" xmlns:r="{RELATIONS}" xmlns:p="{SLIDE}"'
    slides = '<p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/>'
    return package(
        {
            "[Content_Types].xml": _types(
                {
                    "ppt/presentation.xml": "presentationml.presentation.main",
                    "ppt/slides/slide1.xml": "presentationml.slide",
                }
            ),
            "_rels/.rels": _relations(("officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f"{HEAD}<p:presentation {names}>{slides}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": _relations(("slide", "slides/slide1.xml")),
            "ppt/slides/slide1.xml": f"{HEAD}<p:sld {names}><p:cSld><p:spTree>{tree}{box}</p:spTree></p:cSld></p:sld>",
        }
    )


def odt(text: str = "An open letter") -> bytes:
    """An OpenDocument text."""
    spaces = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<office:document-content xmlns:office="{spaces}:office:1.0" xmlns:text="{spaces}:text:1.0" office:version="1.3">'
        f"<office:body><office:text><text:p>{text}</text:p></office:text></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.text"
    entries = (
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/>'
    )
    manifest = f'<manifest:manifest xmlns:manifest="{spaces}:manifest:1.0">{entries}</manifest:manifest>'
    return package({"content.xml": HEAD + content, "META-INF/manifest.xml": HEAD + manifest}, kind)


def pdf(text: str = "A page", pages: int = 1, *, password: str = "") -> bytes:
    """A PDF, encrypted where a password is given."""
    with pymupdf.open() as document:
        for number in range(1, pages + 1):
            document.new_page(width=595, height=842).insert_text((72, 72), f"{text} {number}", fontsize=14)
        if password:
            return document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=password, owner_pw=password)
        return document.tobytes(no_new_id=True)


def png(width: int = 120, height: int = 80) -> bytes:
    """A picture of a gradient, by hand: no encoder's version shows in it."""
    rows = b"".join(
        b"\x00" + b"".join(bytes((255 * x // width, 255 * y // height, 128)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(width: int = 400, height: int = 300) -> bytes:
    """A photograph's like: a gradient as JPEG."""
    return pymupdf.Pixmap(png(width, height)).tobytes("jpeg")


def svg(text: str = "A drawing") -> bytes:
    """A drawing with a script that must not run."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"><script>1</script>'
        f'<text x="10" y="50">{text}</text></svg>'
    ).encode()


def rtf(text: str = "A rich letter") -> bytes:
    """Rich text."""
    return b"{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Arial;}}\\f0\\fs24 " + text.encode("ascii") + b"\\par}"


def html(text: str = "A web page") -> bytes:
    """HTML with a script that must not run and a picture that must not load."""
    return (
        f"<!DOCTYPE html><html><body><h1>{text}</h1><script>document.write(1)</script>"
        f'<img src="http://tracker.example/x.png"></body></html>'
    ).encode()


def csv(text: str = "A table") -> bytes:
    """Comma-separated values with a formula that must not act."""
    return "".join(f'"{text} {row}",{row},"=cmd|\'/c calc\'!A1"\r\n' for row in range(1, 20)).encode()


def csv_latin(text: str = "Größe") -> bytes:
    """The same in an old charset, which tells it nowhere."""
    return "".join(f"{text} {row},{row},{row}.5\r\n" for row in range(1, 20)).encode("latin-1")


def plain(text: str = "Plain words") -> bytes:
    """Text in UTF-8 with more than one script."""
    return f"{text}\nGrüße, Привет, 日本語\n".encode()


def markdown(text: str = "A heading") -> bytes:
    """Markdown, which by its content is text."""
    return f"# {text}\n\n* one\n* two\n".encode()


# name of a file of this kind -> (its bytes, text that its flattened PDF shows)
ALL = {
    "letter.docx": (docx(), "A letter 1"),
    "sheet.xlsx": (xlsx(), "A sheet 5"),
    "slides.pptx": (pptx(), "A slide"),
    "letter.odt": (odt(), "An open letter"),
    "page.pdf": (pdf(), "A page 1"),
    "picture.png": (png(), ""),
    "photograph.jpg": (jpeg(), ""),
    "drawing.svg": (svg(), ""),
    "letter.rtf": (rtf(), "A rich letter"),
    "page.html": (html(), "A web page"),
    "table.csv": (csv(), "A table 1"),
    "latin.csv": (csv_latin(), "Größe 19"),
    "letter.hwpx": (hwpx.document(), "라자레토"),
    "words.txt": (plain(), "日本語"),
    "notes.md": (markdown(), "# A heading"),
}
