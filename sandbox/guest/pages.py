"""Opened documents to pixels: the page loop that every family ends in.

A page keeps its size in points; its resolution falls where the bound on pixels asks for it, so that a large poster is
shown coarser rather than refused. A page beyond the bound in points is refused: no reader could show it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pymupdf

from sandbox import contract
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from sandbox.guest.wire import Answer, Request

POINTS_PER_INCH = 72
OVERSIZE = 4  # a picture may hold this many times the pixels a page may; it is then drawn coarser
LONGEST_WORD = 1000  # characters; the contract's bound is a little more
MIN_SCALE = 0.05  # coarser than 3.6 dots an inch nothing can be read: the page is too large for the bound on pixels


def open_mupdf(document: bytes, kind: str) -> Any:
    """Open by MuPDF as `kind` (pdf, epub, svg, png, html ...); corrupt, encrypted and empty become reasons."""
    pymupdf.TOOLS.mupdf_display_errors(on=False)
    try:
        opened = pymupdf.open(stream=document, filetype=kind)
    except (pymupdf.FileDataError, pymupdf.EmptyFileError, RuntimeError, ValueError) as error:
        raise GuestFailure(contract.CORRUPT) from error
    if opened.needs_pass:
        raise GuestFailure(contract.ENCRYPTED)
    return opened


def send_pages(opened: Any, answer: Answer, request: Request, scale: float | None = None) -> None:
    """Draw and send each page of an opened document; `scale` is pixels a point, or the request's resolution."""
    count = count_pages(opened)
    if count == 0:
        raise GuestFailure(contract.CORRUPT)
    if request.image:
        count = 1
    if count > request.max_pages:
        raise GuestFailure(contract.TOO_MANY_PAGES)
    answer.opened()
    total = 0
    for number in range(count):
        page = opened.load_page(number)
        refuse_oversized_pictures(page, request)
        width, height = page.rect.width, page.rect.height
        fitting = fitting_scale(width, height, scale or request.dpi / POINTS_PER_INCH, request)
        total += round(width * fitting * height * fitting)
        if total > request.max_total_pixels:
            raise GuestFailure(contract.TOO_MANY_PIXELS)
        send_page(page, fitting, answer, request)
    answer.end(count)


def refuse_oversized_pictures(page: Any, request: Request) -> None:
    """A picture inside a page that MuPDF would leave out for its size is refused: a page must not lose it silently."""
    if not page.parent.is_pdf:
        return
    for _xref, _mask, width, height, *_ in page.get_images(full=True):
        if width * height > OVERSIZE * request.max_page_pixels:
            raise GuestFailure(contract.TOO_MANY_PIXELS)


def count_pages(opened: Any) -> int:
    """Count the pages; a page tree that lies or loops is corrupt."""
    try:
        return int(opened.page_count)
    except (RuntimeError, ValueError) as error:
        raise GuestFailure(contract.CORRUPT) from error


def send_page(page: Any, scale: float, answer: Answer, request: Request) -> None:
    """Draw and send one page at `scale` pixels a point."""
    pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csRGB, alpha=False)
    answer.page((pixmap.width, pixmap.height), (page.rect.width, page.rect.height), pixmap.samples_mv)
    if request.text and not request.image:
        answer.text(text_runs(page), request.max_text_bytes)


def fitting_scale(width: float, height: float, scale: float, request: Request) -> float:
    """Lower `scale` until a page of these points fits the bound on pixels; raises where no scale would be readable."""
    if not (0 < width <= request.max_page_points and 0 < height <= request.max_page_points):
        raise GuestFailure(contract.PAGE_TOO_LARGE)
    # one pixel more on each side: MuPDF rounds the page's box outwards
    pixels = (width * scale + 1) * (height * scale + 1)
    if pixels > request.max_page_pixels:
        scale *= math.sqrt(request.max_page_pixels / pixels) * 0.999
    if scale < MIN_SCALE:
        raise GuestFailure(contract.TOO_MANY_PIXELS)
    return scale


def text_runs(page: Any) -> str:
    """The page's words with their boxes, a line each, in hundredths of a point from the top left."""
    lines = []
    for x0, y0, x1, y1, word, *_ in page.get_text("words"):
        shown = "".join(character for character in word if character.isprintable())[:LONGEST_WORD].strip()
        # words may lie anywhere, or nowhere: a drawing's text can have infinite boxes
        if shown and 0 <= x0 < x1 <= page.rect.width and 0 <= y0 < y1 <= page.rect.height:
            box = " ".join(str(round(100 * side)) for side in (x0, y0, x1, y1))
            lines.append(f"{box} {shown}\n")
    return "".join(lines)
