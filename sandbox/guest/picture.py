"""Pictures: every frame that is a page, at its own pixels, turned as its Exif says.

MuPDF reads most formats; Pillow those it does not know; libheif's decoder HEIC and AVIF, as a program of its own
inside the same sandbox. A picture's page is at most PICTURE_SIDE points long: cameras write resolutions that would
make a page of metres.
"""

from __future__ import annotations

import io
import math
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymupdf
from PIL import Image, ImageOps

from sandbox import contract
from sandbox.guest import pages
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from sandbox.guest.wire import Answer, Request

PICTURE_SIDE = 1440  # points, 20 inches
OVERSIZE = 4  # a picture may hold this many times the pixels a page may; it is then drawn coarser

BY_MUPDF = {
    "image/bmp": "bmp",
    "image/x-ms-bmp": "bmp",
    "image/gif": "gif",
    "image/jp2": "jp2",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/tiff": "tiff",
    "image/vnd.adobe.photoshop": "psd",
    "image/x-jp2-codestream": "jp2",
    "image/x-portable-bitmap": "pbm",
    "image/x-portable-graymap": "pgm",
    "image/x-portable-greymap": "pgm",
    "image/x-portable-pixmap": "ppm",
}
BY_PILLOW = ("image/vnd.microsoft.icon", "image/webp", "image/x-icon", "image/x-pcx", "image/x-tga")
BY_LIBHEIF = ("image/avif", "image/heic", "image/heif", "image/heif-sequence", "image/heic-sequence")


def by_mupdf(document: bytes, answer: Answer, request: Request) -> None:
    """Send each frame of a picture that MuPDF reads."""
    long_side = longer_side(document, request)
    # MuPDF looks at the content again; "png" only says that it is a picture
    opened = pages.open_mupdf(document, "png")
    count = 1 if request.image else pages.count_pages(opened)
    if count > request.max_pages:
        raise GuestFailure(contract.TOO_MANY_PAGES)
    total = 0
    for number in range(count):
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
    Image.MAX_IMAGE_PIXELS = OVERSIZE * request.max_page_pixels // 2  # Pillow raises at twice this, warns before
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        return Image.open(io.BytesIO(document))
    except Image.DecompressionBombError as error:
        raise GuestFailure(contract.TOO_MANY_PIXELS) from error


def by_pillow(document: bytes, answer: Answer, request: Request) -> None:
    """Decode by Pillow, then as any picture."""
    picture = ImageOps.exif_transpose(open_pillow(document, request))
    png = io.BytesIO()
    picture.convert("RGBA").save(png, "png", compress_level=1)
    by_mupdf(png.getvalue(), answer, request)


def by_libheif(document: bytes, answer: Answer, request: Request) -> None:
    """Decode the primary picture by libheif's own program, then as any picture."""
    source, target = Path("/tmp/in.heif"), Path("/tmp/out.png")
    source.write_bytes(document)
    done = subprocess.run(["/usr/bin/heif-dec", source, target], check=False, capture_output=True)
    if done.returncode != 0 or not target.exists():
        raise GuestFailure(contract.CORRUPT)
    by_mupdf(target.read_bytes(), answer, request)
