"""Bytes per flattened page, each kind drawn here, against plain deflate of the same pixels."""

from __future__ import annotations

import math
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pymupdf

from sandbox.host.encode import encode
from sandbox.host.flatten import write_pdf
from sandbox.host.untrusted_answer import Page, Run
from tests.bench.table import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Drawn = tuple[NDArray[np.uint8], tuple[Run, ...]]

A4: Final = (595.2, 841.9)  # points; 1240 x 1754 pixels at 150 dpi
DPI: Final = 150
WORDS: Final = [
    "harbour",
    "ship",
    "surgeon",
    "clerk",
    "anchor",
    "minutes",
    "board",
    "letter",
    "account",
    "weather",
    "signal",
    "quarter",
    "evening",
    "report",
]


def text(dpi: int) -> Drawn:
    """A full page: 55 lines of 12 words, as dense as a letter gets."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=A4[0], height=A4[1])
        for line in range(55):
            words = [WORDS[(7 * line + 5 * place + line * place) % len(WORDS)] for place in range(12)]
            page.insert_text((50, 60 + 13.5 * line), " ".join(words), fontsize=9.5)
        runs = tuple(Run(*word[:5]) for word in page.get_text("words"))
        return _pixels(page, dpi), runs


def black_and_white(dpi: int) -> Drawn:
    """The same page as a fax shows it: ink or paper."""
    pixels, runs = text(dpi)
    return np.where(pixels < 128, 0, 255).astype(np.uint8), runs


def drawing(dpi: int) -> Drawn:
    """Charts: bars, circles and curves in a dozen colours."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=A4[0], height=A4[1])
        for number in range(12):
            colour = (number / 12, (5 * number % 12) / 12, (7 * number % 12) / 12)
            left, height = 60 + 40 * number, 60 + 23 * (5 * number % 9)
            page.draw_rect(pymupdf.Rect(left, 330 - height, left + 30, 330), fill=colour)
            page.draw_circle((left + 15, 430), 6 + number, fill=colour)
            page.draw_bezier((60, 760), (200, 420 + 25 * number), (400, 840 - 25 * number), (540, 520), color=colour)
            page.insert_text((left, 346), str(height), fontsize=9)
        return _pixels(page, dpi), ()


def photograph(dpi: int) -> Drawn:
    """Smooth light in each channel and a sensor's noise; no two neighbours alike."""
    random = np.random.default_rng(1)
    width, height = (math.ceil(side * dpi / 72) for side in A4)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = []
    for _ in range(3):
        waves = random.uniform(-9, 9, (5, 2))
        light = sum(np.sin(down * wave[0] + across * wave[1] + wave[0]) for wave in waves)
        channels.append(128 + 25 * light + random.normal(0, 3, down.shape))
    return np.dstack(channels).clip(0, 255).astype(np.uint8), ()


KINDS: Final[dict[str, Callable[[int], Drawn]]] = {
    "text": text,
    "drawing in colours": drawing,
    "photograph": photograph,
    "black and white": black_and_white,
}


def _pixels(page: pymupdf.Page, dpi: int) -> NDArray[np.uint8]:
    pixmap = page.get_pixmap(dpi=dpi, alpha=False)
    return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)


def measure(dpi: int = DPI) -> list[Figure]:
    return [figure(kind, *make(dpi)) for kind, make in KINDS.items()]


def figure(kind: str, pixels: NDArray[np.uint8], runs: tuple[Run, ...]) -> Figure:
    height, width, _ = pixels.shape
    rgb = bytearray(pixels.tobytes())
    size = _pdf_size(Page(width, height, *A4, rgb, runs))
    plain = len(zlib.compress(rgb, 6))
    how = f"one A4 page of {width} x {height} as a whole PDF, {encode(rgb, width, height).filter_name}"
    how += f", {len(runs)} words of invisible text included" if runs else ""
    return Figure(f"bytes, page of {kind}", f"{size:,}", f"{size / plain:.2f} x deflated RGB ({plain:,})", how)


def _pdf_size(page: Page) -> int:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "page.pdf"
        write_pdf([page], path, 1 << 30)
        return path.stat().st_size
