"""Plain text and HTML, laid out by MuPDF, which runs no script, loads nothing and follows no link.

Markdown is text by its content, and shown as the text it is.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.guest import charset, pages
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    import pymupdf

    from sandbox.guest.wire import Answer, Request

A4 = (0, 0, 595, 842)
# MuPDF looks for it in all of a page, and takes it for more than a byte order mark; an entity is shown as the same sign
SAYS_CHARSET = re.compile(r"((?:charset|encoding)\s*)=", re.IGNORECASE)


def read_plain(document: bytes, answer: Answer, request: Request) -> None:
    """Lay text out on A4, monospaced, all of it."""
    text = charset.decoded(document, request.charset)
    if not text.strip():
        raise GuestFailure(contract.EMPTY)
    opened = pages.open_mupdf(codecs.BOM_UTF8 + text.encode(), "txt")
    opened.layout(rect=A4, fontsize=10)
    pages.send_pages(opened, answer, request)


def read_html(document: bytes, answer: Answer, request: Request) -> None:
    """Lay a page of HTML out on A4; one that shows neither text nor a picture is empty."""
    opened = pages.open_mupdf(SAYS_CHARSET.sub(r"\1&#61;", charset.decoded(document, request.charset)).encode(), "html")
    opened.layout(rect=A4, fontsize=11)
    if pages.count_pages(opened) == 1 and shows_nothing(opened.load_page(0)):
        raise GuestFailure(contract.EMPTY)
    pages.send_pages(opened, answer, request)


def shows_nothing(page: pymupdf.Page) -> bool:
    """True where a page has no text and every pixel is the same."""
    return not page.get_text().strip() and bool(page.get_pixmap(dpi=36).is_unicolor)
