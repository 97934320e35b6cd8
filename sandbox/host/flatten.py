"""Checked pixels and plain text -> a flattened PDF, or one picture. Nothing of the original's structure can be in it.

Trusts: pages that untrusted_answer.py checked. With encode.py the only trusted file that imports PyMuPDF, and only to
write: no file is opened but the one being made. Bounds: a batch of pages is held, then appended to the file, so that
memory does not grow with the document; the output's size is checked after each batch (OutputTooLarge). The same pages
give the same bytes: no clock, no random identifier.
"""

from __future__ import annotations

import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pymupdf

from sandbox.host.encode import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sandbox.host.untrusted_answer import Page, Run

AHEAD = 2  # pages that are encoded while the next one is read: so many, and that one, are held as pixels
BATCH = 8  # pages held encoded, about 1 MB of text pages, before they are appended to the file
FONT_CODES = 255  # a simple font has 256 codes; 0 stays unused
GLYPH_WIDTH = 500  # thousandths of the font's size: every invisible glyph is this wide
DESCENT = 0.2  # share of a box's height below the baseline
PHOTOGRAPH = "DCTDecode"
OWN_KEY = "Lazaretto"  # a private key; readers pass over what they do not know (ISO 32000-1, annex E)


class OutputTooLarge(Exception):  # noqa: N818 - an outcome with a reason of its own
    """The flattened file outgrew its bound."""


def write_pdf(pages: Iterable[Page], path: Path, most_bytes: int) -> int:
    """Write a PDF of `pages` to `path`, a new file; returns the number of pages. Raises OutputTooLarge, OSError."""
    unfinished = path.with_name(path.name + ".part")
    count = 0
    try:
        for batch in _batches(pages):
            _append(unfinished, batch, first=count == 0)
            count += len(batch)
            if unfinished.stat().st_size > most_bytes:
                raise OutputTooLarge
        with pymupdf.open(unfinished, filetype="pdf") as appended:
            _make_own(appended)
            # written once more, as one plain file in place of a chain of updates
            appended.save(path, garbage=1, no_new_id=True, use_objstms=1, deflate=True)
    except pymupdf.mupdf.FzErrorBase as error:  # not an OSError, though a full disk is what it says
        path.unlink(missing_ok=True)
        raise OSError(f"the PDF could not be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def write_picture(page: Page, path: Path) -> str:
    """Write one page as a picture; returns its media type: JPEG for a photograph, PNG for all else."""
    pixmap = pymupdf.Pixmap(pymupdf.csRGB, page.width, page.height, page.rgb, False)  # noqa: FBT003 - alpha
    photograph = encode(page.rgb, page.width, page.height).filter_name == PHOTOGRAPH
    path.write_bytes(pixmap.tobytes("jpeg", jpg_quality=85) if photograph else pixmap.tobytes("png"))
    return "image/jpeg" if photograph else "image/png"


def _batches(pages: Iterable[Page]) -> Iterator[list[_Leaf]]:
    batch: list[_Leaf] = []
    for leaf in _leaves(pages):
        batch.append(leaf)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _leaves(pages: Iterable[Page]) -> Iterator[_Leaf]:
    """Encode each page while the next ones arrive: the sandbox draws meanwhile, and encoders leave Python's lock."""
    encoding: deque[Future[_Leaf]] = deque()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="encode") as encoders:
        for page in pages:
            encoding.append(encoders.submit(_Leaf, page))
            if len(encoding) > AHEAD:
                yield encoding.popleft().result()
        while encoding:
            yield encoding.popleft().result()


class _Leaf:
    """A page of the PDF to be: encoded pixels and text, no longer the pixels themselves."""

    def __init__(self, page: Page) -> None:
        self.image = encode(page.rgb, page.width, page.height)
        self.pixels = (page.width, page.height)
        self.points = (page.width_points, page.height_points)
        self.runs = page.runs


def _append(path: Path, batch: list[_Leaf], *, first: bool) -> None:
    document = pymupdf.open() if first else pymupdf.open(path, filetype="pdf")
    with document:
        for leaf in batch:
            _add_page(document, leaf)
        if first:
            document.save(path, no_new_id=True)
        else:
            document.save(path, incremental=True, encryption=pymupdf.PDF_ENCRYPT_KEEP, no_new_id=True)


def _add_page(document: Any, leaf: _Leaf) -> None:
    width, height = leaf.points
    page = document.new_page(width=width, height=height)
    keys = f"/Type/XObject/Subtype/Image/Width {leaf.pixels[0]}/Height {leaf.pixels[1]}{leaf.image.keys}"
    image = _stream(document, keys, leaf.image.data, leaf.image.filter_name, leaf.image.parameters)
    fonts, text = _text(document, leaf.runs, height)
    drawing = f"q {width:.3f} 0 0 {height:.3f} 0 0 cm /I Do Q\n{text}"
    content = _stream(document, "", zlib.compress(drawing.encode("ascii")))
    document.xref_set_key(page.xref, "Resources", f"<</XObject<</I {image} 0 R>>/Font<<{fonts}>>>>")
    document.xref_set_key(page.xref, "Contents", f"{content} 0 R")


def _make_own(document: Any) -> None:
    """Part the phrases that every PDF writer uses with a key of ours.

    Two PDFs of MuPDF share runs of 32 bytes and more in catalogue and streams. Whoever looks for bytes of an original
    in what we send, as our own tests do, should find none, so no run of ours is one of theirs.
    """
    catalogue = int(document.pdf_catalog())
    pages = document.xref_get_key(catalogue, "Pages")[1]
    document.update_object(catalogue, f"<</Type/Catalog/{OWN_KEY} true/Pages {pages}>>")


def _stream(document: Any, keys: str, data: bytes, filter_name: str = "FlateDecode", parameters: str = "null") -> int:
    """A new stream object whose data is already in the form of its filter; returns its number."""
    xref = int(document.get_new_xref())
    document.update_object(xref, f"<<{keys}>>")
    document.update_stream(xref, data, compress=False, new=True)
    # set afterwards: PyMuPDF takes both keys away when it is given data that it has not compressed itself
    document.xref_set_key(xref, "Filter", f"/{filter_name}")
    document.xref_set_key(xref, OWN_KEY, "true")
    if parameters != "null":
        document.xref_set_key(xref, "DecodeParms", parameters)
    return xref


def _text(document: Any, runs: tuple[Run, ...], height: float) -> tuple[str, str]:
    """Fonts and operators of an invisible layer over the picture (text rendering mode 3)."""
    characters = sorted({character for run in runs for character in run.text})
    place = {character: divmod(index, FONT_CODES) for index, character in enumerate(characters)}
    fonts = [
        f"/F{number} {_font(document, characters[start : start + FONT_CODES])} 0 R"
        for number, start in enumerate(range(0, len(characters), FONT_CODES))
    ]
    shown = [operators for run in runs for operators in _show(run, place, height)]
    return "".join(fonts), f"BT 3 Tr\n{''.join(shown)}ET" if shown else ""


def _show(run: Run, place: dict[str, tuple[int, int]], height: float) -> Iterator[str]:
    """One run, stretched to its box; a run over two fonts is shown in pieces, one after the other."""
    size = run.y1 - run.y0
    stretch = 100 * (run.x1 - run.x0) / (len(run.text) * size * GLYPH_WIDTH / 1000)
    baseline = height - run.y1 + DESCENT * size
    yield f"{stretch:.2f} Tz 1 0 0 1 {run.x0:.2f} {baseline:.2f} Tm\n"
    start = 0
    while start < len(run.text):
        font = place[run.text[start]][0]
        stop = start
        codes = ""
        while stop < len(run.text) and place[run.text[stop]][0] == font:
            codes += f"{place[run.text[stop]][1] + 1:02x}"
            stop += 1
        yield f"/F{font} {size:.2f} Tf <{codes}> Tj\n"
        start = stop


def _font(document: Any, characters: list[str]) -> int:
    """A Type 3 font without a mark: every code an empty glyph that stands for one character (ISO 32000-1, 9.6.5).

    There is no font file in it, so no reader's font engine is asked to parse one.
    """
    empty = _stream(document, "", zlib.compress(f"{GLYPH_WIDTH} 0 d0".encode("ascii")))
    unicode = _stream(document, "", zlib.compress(_to_unicode(characters)))
    last = len(characters)
    xref = int(document.get_new_xref())
    document.update_object(
        xref,
        f"<</Type/Font/Subtype/Type3/FontBBox[0 -200 {GLYPH_WIDTH} 800]/FontMatrix[.001 0 0 .001 0 0]"
        f"/FirstChar 1/LastChar {last}/Widths[{f'{GLYPH_WIDTH} ' * last}]/CharProcs<</g {empty} 0 R>>"
        f"/Encoding<</Type/Encoding/Differences[1{'/g' * last}]>>/Resources<<>>/ToUnicode {unicode} 0 R>>",
    )
    return xref


def _to_unicode(characters: list[str]) -> bytes:
    """The CMap from code to character (ISO 32000-1, 9.10.3), at most 100 lines a block as the format asks."""
    lines = [f"<{code:02x}> <{character.encode('utf-16-be').hex()}>" for code, character in enumerate(characters, 1)]
    blocks = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    body = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CMapName /L def /CMapType 2 def\n1 begincodespacerange <00> <ff> endcodespacerange\n"
        f"{body}\nendcmap CMapName currentdict /CMap defineresource pop end end\n"
    ).encode("ascii")
