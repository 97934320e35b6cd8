"""Pages of pixels come and go by the megabyte: memory for them is kept between two documents, not asked for anew.

glibc gives what was freed back to the kernel at once where it is large, and the kernel clears each page that it gives
out again: a fifth of the host side's time for a PDF. Bound: KEPT bytes that stay with the process though nobody uses
them. Where the C library knows no such call, nothing is lost but that time.
"""

from __future__ import annotations

import contextlib
import ctypes

# the parameters of mallopt(3), from malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 128 * 1024 * 1024  # of an arena's end; some twenty pages of A4 at 150 dpi
LARGE = 32 * 1024 * 1024  # from here on each piece is mapped by itself: the most that glibc allows


def keep_pages() -> None:
    """From now on, for this whole process; safe to call twice."""
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
