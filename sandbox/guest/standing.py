"""What a guest does before it knows of any document, so that it need not do it when one comes.

PREPARE loads what documents of a family ask for; for a snapshot it goes the whole way with documents that LibreOffice
and MuPDF make themselves, so that code, fonts, filters and tables are in memory. Nothing of it depends on a sender.

Fails: whatever goes wrong ends the process; the host sees a sandbox that did not come up.
"""

from __future__ import annotations

import ctypes
import gc
import random
from pathlib import Path

import pymupdf
from PIL import Image

from sandbox import contract
from sandbox.guest import pages
from sandbox.guest.sniff import media_type_of

TEXT = "Lazaretto 0123456789 \xc4\xd6\xdc \u03b1\u03b2\u03b3 \u0416\u0438"
# LibreOffice's own empty documents, and the formats in which each comes back the way that mail brings them
REHEARSED = {
    "private:factory/swriter": ("odt", "docx", "doc", "rtf"),
    "private:factory/scalc": ("ods", "xlsx", "xls"),
    "private:factory/simpress": ("odp", "pptx", "ppt"),
    "private:factory/sdraw": ("odg",),
}
PLACE = Path("/tmp/rehearsal")
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # glibc, malloc.h
LARGE, LARGEST = 64 << 10, 32 << 20  # bytes; the latter is glibc's own bound
DPI = 50  # the code is the same for a large page, the memory is not


def prepare(flags: int) -> None:
    """Do what the contract's PREPARE with these flags asks for."""
    whole = bool(flags & contract.PREPARE_WHOLE)
    if whole:
        keep_the_heap_dense()
    draw_text()
    if flags & contract.PREPARE_OFFICE:
        start_office(whole=whole)
    elif flags & contract.PREPARE_HWP:
        start_program(whole=whole)
    elif whole:
        Image.init()  # all of Pillow's readers
    tidy()


def draw_text() -> None:
    """MuPDF's fonts and libmagic's rules: a page of text, identified, opened, drawn and read."""
    with pymupdf.open() as made:
        page = made.new_page()
        for number, font in enumerate(("helv", "tiro", "cour", "hebo", "symb")):
            page.insert_text((72, 72 + 20 * number), TEXT, fontname=font)
        document = made.tobytes()
    media_type_of(document)
    with pages.open_mupdf(document, "pdf") as opened:
        page = opened.load_page(0)
        page.get_pixmap(dpi=DPI, colorspace=pymupdf.csRGB, alpha=False)
        pages.text_runs(page)


def start_office(*, whole: bool) -> None:
    """LibreOffice, started; `whole`: each kind of document saved and loaded again."""
    from sandbox.guest.office import the_office  # noqa: PLC0415 - 100 MB that other sandboxes need not load

    office = the_office()
    if not whole:
        return
    PLACE.mkdir()
    for factory, extensions in REHEARSED.items():
        saved = [PLACE / f"{factory.rpartition('/')[2]}.{extension}" for extension in extensions]
        office.rehearse(factory, [*saved, PLACE / "made.pdf"])
        for source in saved:
            office.rehearse(source.as_uri(), [PLACE / "loaded.pdf"])
            source.unlink()
    for left in PLACE.iterdir():
        left.unlink()
    PLACE.rmdir()


def start_program(*, whole: bool) -> None:
    """LibreOffice as a program, with Java in it; `whole`: a document read and printed."""
    from sandbox.guest import soffice  # noqa: PLC0415 - likewise

    soffice.the_program()
    if whole:
        soffice.rehearse()


def keep_the_heap_dense() -> None:
    """While it rehearses: what is large and soon given back lies apart (mallopt(3)), and no thread has its own heap."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_ARENA_MAX, 1)
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)


def tidy() -> None:
    """Give back what the rehearsal took, so that a sandbox that stands is small."""
    pymupdf.TOOLS.store_shrink(100)
    gc.collect()
    gc.freeze()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST)  # a document's own may lie anywhere, nothing comes after it


def reseed(seed: bytes) -> None:
    """Part this sandbox's random numbers from those of all others that were started from the same snapshot.

    gVisor's own (getrandom, /dev/urandom) are the host's and never shared; what libraries drew from them before is.
    """
    random.seed(seed)
    ctypes.CDLL(None).srandom(int.from_bytes(seed[:4], "big"))
