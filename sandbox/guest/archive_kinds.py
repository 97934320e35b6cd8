"""Which media types are archives, and how each is read: an allow-list, without images of discs or packages.

Of filters each has the one that it is, so that a file packed twice is a packed file with one member, which is packed.
Values only, and no library, so that a guest knows what it could open before it has to.
"""

from __future__ import annotations

from dataclasses import dataclass

CP437, CP1252, CP932 = "cp437", "cp1252", "cp932"


@dataclass(frozen=True)
class Kind:
    """How a media type is read: libarchive's names of formats, the code of the one filter, the charset of old names.

    `must_say`: libarchive has to be told that charset, since it gives a whole archive up for a name it cannot read.
    """

    formats: tuple[str, ...]
    filter_code: int = 0
    charset: str = CP1252
    must_say: bool = False


def packed(code: int) -> Kind:
    """A tar that was packed, or any one file."""
    return Kind(("tar", "raw"), code)


KINDS = {
    "application/zip": Kind(("zip",), charset=CP437),  # APPNOTE.TXT, appendix D
    "application/x-7z-compressed": Kind(("7zip",)),
    "application/x-rar": Kind(("rar", "rar5")),
    "application/vnd.rar": Kind(("rar", "rar5")),
    "application/vnd.ms-cab-compressed": Kind(("cab",)),
    "application/x-lha": Kind(("lha",), charset=CP932, must_say=True),
    "application/x-lzh-compressed": Kind(("lha",), charset=CP932, must_say=True),
    "application/x-lharc": Kind(("lha",), charset=CP932, must_say=True),
    "application/x-tar": Kind(("tar",)),
    "application/x-gtar": Kind(("tar",)),
    "application/x-cpio": Kind(("cpio",)),
    "application/x-archive": Kind(("ar",)),
    "application/gzip": packed(1),  # ARCHIVE_FILTER_GZIP and so on, archive.h
    "application/x-gzip": packed(1),
    "application/x-bzip2": packed(2),
    "application/x-compress": packed(3),
    "application/x-lzma": packed(5),
    "application/x-xz": packed(6),
    "application/x-lzip": packed(9),
    "application/x-lz4": packed(13),
    "application/zstd": packed(14),
    "application/x-zstd": packed(14),
}
