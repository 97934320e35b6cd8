"""Tells what a Mac keeps beside a file: the AppleDouble header, with icon, window and resource fork (RFC 1740).

Looks at the table of entries alone. A header that holds a data fork as well is a file, not something beside one, and
so is AppleSingle. Pure, never raises.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from gateway.mail.tree import Kind, Part

if TYPE_CHECKING:
    from collections.abc import Callable

APPLEFILE: Final = "application/applefile"
_MAGIC: Final = b"\x00\x05\x16\x07"
_HEADER: Final = 26  # magic, version, 16 bytes of filler, number of entries
_ENTRY: Final = struct.Struct(">III")  # id, offset, length
_DATA_FORK: Final = 1
_ENTRIES: Final = 64  # sixteen kinds are known
_PREFIXES: Final = ("._", "%")  # RFC 1740 section 4 and appendix A


def is_header_file(untrusted_content: bytes) -> bool:
    """True for an AppleDouble header whose entries are all metadata and lie inside it."""
    if not untrusted_content.startswith(_MAGIC) or len(untrusted_content) < _HEADER:
        return False
    count = int.from_bytes(untrusted_content[24:26])
    if count > _ENTRIES or _HEADER + count * _ENTRY.size > len(untrusted_content):
        return False
    entries = [_ENTRY.unpack_from(untrusted_content, _HEADER + n * _ENTRY.size) for n in range(count)]
    return all(kind != _DATA_FORK and at + size <= len(untrusted_content) for kind, at, size in entries)


def header_files(container: Part, content_of: Callable[[Part], bytes]) -> frozenset[str]:
    """The paths of those children that are only what a Mac keeps beside another child of the same container."""
    leaves = [child for child in container.children if child.kind is Kind.LEAF and not child.limit]
    files = [leaf for leaf in leaves if not _could_be(leaf)]
    names = {leaf.untrusted_filename for leaf in files}
    double = container.content_type == "multipart/appledouble" and bool(files)
    return frozenset(
        leaf.path
        for leaf in leaves
        if _could_be(leaf) and (double or _name_of_the_file(leaf) in names) and is_header_file(content_of(leaf))
    )


def _could_be(leaf: Part) -> bool:
    return leaf.content_type == APPLEFILE or (
        leaf.content_type == "application/octet-stream" and leaf.untrusted_filename.startswith("._")
    )


def _name_of_the_file(leaf: Part) -> str | None:
    """The name of the file that it belongs to, None without one."""
    name = leaf.untrusted_filename
    bare = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
    return bare or None
