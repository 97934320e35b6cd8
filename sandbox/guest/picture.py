"""Pictures: every frame that is a page, at its own pixels, turned as its Exif says.

MuPDF reads most formats; Pillow TIFF, of which it knows more kinds, and those that MuPDF does not know; libheif's
decoder HEIC and AVIF, as a program of its own inside the same sandbox. A picture's page is at most PICTURE_SIDE points
long: cameras write resolutions that would make a page of metres.
"""

from __future__ import annotations

import io
import math
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymupdf
from PIL import Image, ImageOps, ImageSequence

from sandbox import contract
from sandbox.guest import pages
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.guest.wire import Answer, Request

PICTURE_SIDE = 1440  # points, 20 inches

BY_MUPDF = (
    "image/bmp",
    "image/x-ms-bmp",
    "image/gif",
    "image/jp2",
    "image/jpeg",
    "image/png",
    "image/vnd.adobe.photoshop",
    "image/x-jp2-codestream",
    "image/x-portable-bitmap",
    "image/x-portable-graymap",
    "image/x-portable-greymap",
    "image/x-portable-pixmap",
)
BY_PILLOW = ("image/tiff", "image/vnd.microsoft.icon", "image/webp", "image/x-icon", "image/x-pcx")
BY_LIBHEIF = ("image/avif", "image/heic", "image/heif", "image/heif-sequence", "image/heic-sequence")


def by_mupdf(document: bytes, answer: Answer, request: Request) -> None:
    """Send each frame of a picture that MuPDF reads."""
    send_frames([document], answer, request)


def send_frames(pictures: Iterable[bytes], answer: Answer, request: Request) -> None:
    """Send the frames of pictures that MuPDF reads, as the pages of one answer; a GIF moves, and shows its first."""
    answer.opened()
    count = total = 0
    for picture in pictures:
        long_side = longer_side(picture, request)
        # MuPDF looks at the content again; "png" only says that it is a picture
        opened = pages.open_mupdf(picture, "png")
        for number in range(1 if request.image else pages.count_pages(opened)):
            count += 1
            if count > request.max_pages:
                raise GuestFailure(contract.TOO_MANY_PAGES)
            total += send_frame(opened.load_page(number), long_side, answer, request)
            if total > request.max_total_pixels:
                raise GuestFailure(contract.TOO_MANY_PIXELS)
    answer.end(count)


def longer_side(document: bytes, request: Request) -> int | None:
    """Pixels of the longer side, from the header alone; None where Pillow does not know the format.

    PyMuPDF's own look at the header (`image_profile`) fails in 1.25.4, the version of Debian 13.
    """
    try:
        size = open_pillow(document, request).size
    except (OSError, SyntaxError, ValueError):
        return None
    return int(max(size))


def send_frame(page: Any, long_side: int | None, answer: Answer, request: Request) -> int:
    """Draw one frame a pixel for a pixel, coarser only where the bound asks for it; returns its pixels."""
    width, height = page.rect.width, page.rect.height
    longer = max(width, height, 1)
    # the longer sides are compared, since Exif may have turned the page
    natural = long_side / longer if long_side else request.dpi / pages.POINTS_PER_INCH
    paper = min(1.0, PICTURE_SIDE / longer)
    pixels = (width * natural + 1) * (height * natural + 1)
    scale = natural if pixels <= request.max_page_pixels else natural * math.sqrt(request.max_page_pixels / pixels)
    pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csRGB, alpha=False)
    answer.page((pixmap.width, pixmap.height), (width * paper, height * paper), pixmap.samples_mv)
    return int(pixmap.width * pixmap.height)


def open_pillow(document: bytes, request: Request) -> Image.Image:
    """Read the header by Pillow; a picture of far more pixels than a page may have is refused before it is decoded."""
    Image.MAX_IMAGE_PIXELS = pages.OVERSIZE * request.max_page_pixels // 2  # Pillow raises at twice this, warns before
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        return Image.open(io.BytesIO(document))
    except Image.DecompressionBombError as error:
        raise GuestFailure(contract.TOO_MANY_PIXELS) from error


def by_pillow(document: bytes, answer: Answer, request: Request) -> None:
    """Decode by Pillow, then as any picture; the frames of a TIFF are its pages."""
    opened = open_pillow(document, request)
    frames = ImageSequence.Iterator(opened) if opened.format == "TIFF" and not request.image else [opened]
    send_frames((as_png(frame) for frame in frames), answer, request)


def as_png(frame: Image.Image) -> bytes:
    """A frame as PNG, turned as its Exif says, at its own resolution."""
    png = io.BytesIO()
    dpi = frame.info.get("dpi", (96, 96))
    ImageOps.exif_transpose(frame).convert("RGBA").save(png, "png", compress_level=1, dpi=dpi)
    return png.getvalue()


def by_libheif(document: bytes, answer: Answer, request: Request) -> None:
    """Decode the primary picture by libheif's own program, then as any picture."""
    source, target = Path("/tmp/in.heif"), Path("/tmp/out.png")
    source.write_bytes(document)
    done = subprocess.run(["/usr/bin/heif-dec", source, target], check=False, capture_output=True)
    if done.returncode != 0 or not target.exists():
        raise GuestFailure(contract.CORRUPT)
    by_mupdf(target.read_bytes(), answer, request)
