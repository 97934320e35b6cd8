"""Which encoder a page of pixels gets: photographs JPEG, drawings and text few levels and deflate, black and white G4.

Pure: the same pixels give the same bytes. Trusts: pixels of the size they say (untrusted_answer.py checked them).
Losses are chosen, not accidental: SIXTEEN levels a channel are only used where nearly all pixels lie on them already
(paper and ink do; photographs and gradients do not), so that what changes is the shade of a letter's edge.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pymupdf
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SIXTEEN = 17  # 255 / 15: levels of 4 bits, with pure white and pure black among them
NEAR = 2  # a pixel this close to a level counts as on it
FLAT = 0.85  # share of pixels on a level, from which a page is text or drawing
JPEG_QUALITY = 80
PALETTE = 256
DEFLATE = 4  # half the time of 6, and 3 % more bytes for a page of text
SAMPLED = 4  # of so many rows one is looked at, to tell what kind of page it is

# looked up, since this is done for every pixel: the nearest of 16 levels, and whether it is near
VALUES = np.arange(256)
NEAREST = ((VALUES + SIXTEEN // 2) // SIXTEEN).astype(np.uint8)
ON_LEVEL = np.abs(VALUES - NEAREST.astype(int) * SIXTEEN) <= NEAR
NEAREST_TABLE = NEAREST.tobytes()  # bytes.translate looks up faster than NumPy does


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image for a PDF: its data, the filter that reads it, and what else its dictionary says but the size."""

    data: bytes
    filter_name: str  # DCTDecode, FlateDecode or CCITTFaxDecode
    keys: str
    parameters: str = "null"  # the filter's own


def encode(rgb: bytearray, width: int, height: int) -> Encoded:
    """Choose the encoder for one page of RGB rows."""
    pixels = np.frombuffer(rgb, np.uint8).reshape(height, width, 3)
    if _is_grey(pixels):
        return _encode_grey(np.ascontiguousarray(pixels[:, :, 0]))
    if _on_levels(pixels):
        codes, used = _palette(_nearest(pixels))
        if len(used) <= PALETTE:
            return _indexed(codes, used, height, width)
        # smooth edges between many colours: a drawing still, and smaller than a JPEG without its marks
        levels = _nearest(pixels).reshape(height, 3 * width)
        return Encoded(_deflated(_nibbles(levels)), "FlateDecode", "/ColorSpace/DeviceRGB/BitsPerComponent 4")
    return _jpeg(rgb, width, height, pymupdf.csRGB)


def _is_grey(pixels: Pixels) -> bool:
    """True where the three channels are equal everywhere."""
    samples = pixels.reshape(-1)
    same_as_next = samples[1:] == samples[:-1]  # neighbours in memory, which is read faster than every third byte
    same_as_next[2::3] = True  # blue need not be the next pixel's red
    return bool(same_as_next.all())


def _encode_grey(grey: Pixels) -> Encoded:
    height, width = grey.shape
    if not _on_levels(grey):
        return _jpeg(grey.tobytes(), width, height, pymupdf.csGRAY)
    levels = _nearest(grey)
    if not ((levels > 0) & (levels < SIXTEEN - 2)).any():
        return _group4(levels, width, height)
    return Encoded(_deflated(_nibbles(levels)), "FlateDecode", "/ColorSpace/DeviceGray/BitsPerComponent 4")


def _nearest(pixels: Pixels) -> Pixels:
    """The nearest of 16 levels, 0 to 15."""
    return np.frombuffer(pixels.tobytes().translate(NEAREST_TABLE), np.uint8).reshape(pixels.shape)


def _on_levels(pixels: Pixels) -> bool:
    return float(ON_LEVEL[pixels[::SAMPLED]].mean()) >= FLAT


def _palette(levels: Pixels) -> tuple[Pixels, NDArray[np.uint16]]:
    red, green, blue = (levels[:, :, channel].astype(np.uint16) for channel in range(3))
    joined = red * 256 + green * 16 + blue
    seen = np.zeros(1 << 12, bool)
    seen[joined] = True
    used = np.flatnonzero(seen).astype(np.uint16)
    place = np.zeros(1 << 12, np.uint8)
    place[used[:PALETTE]] = np.arange(min(len(used), PALETTE), dtype=np.uint8)
    return place[joined], used


def _indexed(codes: Pixels, used: NDArray[np.uint16], height: int, width: int) -> Encoded:
    colours = np.stack([used >> 8, (used >> 4) & 15, used & 15], axis=1) * SIXTEEN
    table = colours.astype(np.uint8).tobytes().hex()
    bits = 4 if len(used) <= SIXTEEN - 1 else 8
    data = _nibbles(codes) if bits == 4 else codes.reshape(height, width).tobytes()  # noqa: PLR2004 - bits, as named
    space = f"[/Indexed/DeviceRGB {len(used) - 1}<{table}>]"
    return Encoded(_deflated(data), "FlateDecode", f"/ColorSpace{space}/BitsPerComponent {bits}")


def _nibbles(values: Pixels) -> bytes:
    """Two values a byte, each row padded to whole bytes (ISO 32000-1, 8.9.5.2)."""
    even = values if values.shape[1] % 2 == 0 else np.pad(values, ((0, 0), (0, 1)))
    return ((even[:, 0::2] << 4) | even[:, 1::2]).astype(np.uint8).tobytes()


def _deflated(data: bytes) -> bytes:
    return zlib.compress(data, DEFLATE)


def _group4(levels: Pixels, width: int, height: int) -> Encoded:
    rows = np.packbits(levels != 0, axis=1)  # MuPDF takes a set bit for paper
    # has to live as long as it is read: what python_buffer_data gives is a bare pointer into it
    packed = rows.tobytes()
    mupdf = pymupdf.mupdf
    buffer = mupdf.fz_compress_ccitt_fax_g4(mupdf.python_buffer_data(packed), width, height, rows.shape[1])
    parameters = f"<</K -1/Columns {width}/Rows {height}>>"
    data = mupdf.fz_buffer_extract_copy(buffer)
    return Encoded(data, "CCITTFaxDecode", "/ColorSpace/DeviceGray/BitsPerComponent 1", parameters)


def _jpeg(samples: bytes | bytearray, width: int, height: int, space: pymupdf.Colorspace) -> Encoded:
    pixmap = pymupdf.Pixmap(space, width, height, samples, False)  # noqa: FBT003 - PyMuPDF takes alpha by position
    name = "DeviceGray" if space.n == 1 else "DeviceRGB"
    data = pixmap.tobytes("jpeg", jpg_quality=JPEG_QUALITY)
    return Encoded(data, "DCTDecode", f"/ColorSpace/{name}/BitsPerComponent 8")
