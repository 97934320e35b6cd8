"""Media type (by content) -> the reader of its family. What is not in the table is not flattened: an allow-list.

Each reader takes the document, the answer to write to and the request with its bounds, and ends the answer itself or
raises `GuestFailure`. LibreOffice is imported only when an office document asks for it, and so are the readers of
containers, which are asked only where the request wants to know what is in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.guest import archive_kinds, charset, members, pages, picture, text
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.wire import Answer, Request

    Reader = Callable[[bytes, Answer, Request], None]

A4 = (0, 0, 595, 842)  # points; for formats that have no page of their own


def by_mupdf(kind: str) -> Reader:
    """A reader for formats that MuPDF draws itself."""

    def read(document: bytes, answer: Answer, request: Request) -> None:
        pages.send_pages(pages.open_mupdf(document, kind), answer, request)

    return read


def by_office(extension: str) -> Reader:
    """A reader for formats that LibreOffice turns into a PDF first."""

    def read(document: bytes, answer: Answer, request: Request) -> None:
        from sandbox.guest.office import office_to_pdf  # noqa: PLC0415 - 100 MB that a picture need not load

        pages.send_pages(pages.open_mupdf(office_to_pdf(document, extension), "pdf"), answer, request)

    return read


def by_soffice(extension: str) -> Reader:
    """A reader for formats that LibreOfficeKit does not load (see soffice.py)."""

    def read(document: bytes, answer: Answer, request: Request) -> None:
        from sandbox.guest.soffice import soffice_to_pdf  # noqa: PLC0415 - as above

        pages.send_pages(pages.open_mupdf(soffice_to_pdf(document, extension), "pdf"), answer, request)

    return read


def read_csv(document: bytes, answer: Answer, request: Request) -> None:
    """A table in text, in UTF-8 whatever it came in: LibreOffice is told one charset, and drops what is not in it."""
    by_office("csv")(charset.decoded(document, request.charset).encode(), answer, request)


def refuse(reason: str) -> Reader:
    """A reader for formats that say of themselves why they cannot be read."""

    def read(_document: bytes, _answer: Answer, _request: Request) -> None:
        raise GuestFailure(reason)

    return read


def read_epub(document: bytes, answer: Answer, request: Request) -> None:
    """EPUB has no pages: it is laid out on A4."""
    opened = pages.open_mupdf(document, "epub")
    opened.layout(rect=A4, fontsize=11)
    pages.send_pages(opened, answer, request)


OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."

# office formats, with the extension that lets LibreOffice choose its import filter
OFFICE = {
    OOXML + "wordprocessingml.document": "docx",
    OOXML + "spreadsheetml.sheet": "xlsx",
    OOXML + "presentationml.presentation": "pptx",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    ODF + "text": "odt",
    ODF + "text-template": "ott",
    ODF + "spreadsheet": "ods",
    ODF + "spreadsheet-template": "ots",
    ODF + "presentation": "odp",
    ODF + "presentation-template": "otp",
    ODF + "graphics": "odg",
    ODF + "graphics-template": "otg",
    ODF + "formula": "odf",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
}


def reader_for(media_type: str, request: Request) -> Reader | None:
    """Who reads such a document; None where nobody does. A container is never one picture."""
    if request.unpack and not request.image and media_type in CONTAINERS:
        return CONTAINERS[media_type]
    return READERS.get(media_type)


def by_archive(media_type: str) -> Reader:
    """A reader for what libarchive reads."""

    def read(document: bytes, answer: Answer, request: Request) -> None:
        from sandbox.guest import archive  # noqa: PLC0415 - a library that documents need not load

        archive.read(document, answer, request, media_type)

    return read


def by_outlook(document: bytes, answer: Answer, request: Request) -> None:
    """Outlook's own file of a message."""
    from sandbox.guest import outlook  # noqa: PLC0415 - likewise

    outlook.read(document, answer, request)


def by_tnef(document: bytes, answer: Answer, request: Request) -> None:
    """winmail.dat."""
    from sandbox.guest import tnef  # noqa: PLC0415 - likewise

    tnef.read(document, answer, request)


def by_mbox(document: bytes, answer: Answer, request: Request) -> None:
    """Messages in one file."""
    from sandbox.guest import mbox  # noqa: PLC0415 - likewise

    mbox.read(document, answer, request)


def by_wrapper(kind: str) -> Reader:
    """A reader for a file that was wrapped up alone, as old Macintoshes did."""

    def read(document: bytes, answer: Answer, request: Request) -> None:
        from sandbox.guest import wrapper  # noqa: PLC0415 - likewise

        wrapper.READERS[kind](document, answer, request)

    return read


def read_message(document: bytes, answer: Answer, request: Request) -> None:
    """A message is what it is: the mail parser of the other side reads it."""
    members.send_only(contract.MESSAGE, "", document, answer, request)


CONTAINERS: dict[str, Reader] = {
    **{media_type: by_archive(media_type) for media_type in archive_kinds.KINDS},
    "application/vnd.ms-outlook": by_outlook,
    "application/vnd.ms-tnef": by_tnef,
    "application/applefile": by_wrapper("applefile"),
    "application/mac-binhex40": by_wrapper("binhex"),
    "application/mbox": by_mbox,
    "application/macbinary": by_wrapper("macbinary"),
    "message/rfc822": read_message,
}

READERS: dict[str, Reader] = {
    "application/pdf": by_mupdf("pdf"),
    "image/svg+xml": by_mupdf("svg"),
    "application/epub+zip": read_epub,
    "application/oxps": by_mupdf("xps"),
    "application/encrypted": refuse(contract.ENCRYPTED),
    **{media_type: by_office(extension) for media_type, extension in OFFICE.items()},
    "text/csv": read_csv,
    "application/x-hwp": by_soffice("hwp"),
    "application/hwp+zip": by_soffice("hwpx"),
    "application/x-hwp+zip": by_soffice("hwpx"),
    "text/html": text.read_html,
    "application/xhtml+xml": text.read_html,
    "text/plain": text.read_plain,
    "text/markdown": text.read_plain,
    "text/xml": text.read_plain,
    "application/json": text.read_plain,
    "text/calendar": text.read_plain,
    "text/vcard": text.read_plain,
    "text/troff": text.read_plain,
    "message/rfc822": text.read_plain,
    "message/news": text.read_plain,
    **dict.fromkeys(picture.BY_MUPDF, picture.by_mupdf),
    **dict.fromkeys(picture.BY_PILLOW, picture.by_pillow),
    **dict.fromkeys(picture.BY_LIBHEIF, picture.by_libheif),
}
