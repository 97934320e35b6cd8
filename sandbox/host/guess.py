"""Which kind of sandbox to take for a document, by bytes at its start: a guess that costs time where it is wrong.

No document is opened for it: bytes are compared, nothing that they say is followed. Trusts nobody. Cannot fail. Bounds:
one pass over a compound file, HEAD bytes of any other.
"""

from __future__ import annotations

import re

from sandbox.host.snapshot import Kind

HEAD = 4096
RICH_TEXT = b"{\\rtf"
COMPOUND_FILE = b"\xd0\xcf\x11\xe0"
HWP_SIGNATURE = b"HWP Document File"  # of its stream FileHeader, which is never packed
ZIP = re.compile(rb"PK\x03\x04.{26}", re.DOTALL)  # a local file header up to its name (APPNOTE 4.3.7)
MIMETYPE = rb"mimetypeapplication/"  # the first member of OpenDocument's family is stored, so that this can be read
OFFICE_MEMBERS = re.compile(
    rb"mimetype|\[Content_Types\]|_rels/|docProps/|customXml/|word/|xl/|ppt/|META-INF/manifest|content\.xml|meta\.xml"
)


def kind_for(untrusted_document: bytes) -> Kind:
    """Which kind to take for a document."""
    if untrusted_document.startswith(COMPOUND_FILE):
        return Kind.HWP if HWP_SIGNATURE in untrusted_document else Kind.OFFICE
    untrusted_head = untrusted_document[:HEAD]
    if zipped := ZIP.match(untrusted_head):
        return _kind_of_package(untrusted_head[zipped.end() :])
    return Kind.OFFICE if untrusted_head.startswith(RICH_TEXT) or _looks_like_a_table(untrusted_head) else Kind.OTHER


def _kind_of_package(untrusted_name: bytes) -> Kind:
    """By the name of a zip's first member, and what follows it; somebody's files in an archive are OTHER."""
    if untrusted_name.startswith(MIMETYPE + b"hwp"):
        return Kind.HWP
    if untrusted_name.startswith(MIMETYPE + b"epub"):
        return Kind.OTHER
    return Kind.OFFICE if OFFICE_MEMBERS.match(untrusted_name) else Kind.OTHER


def _looks_like_a_table(untrusted_head: bytes) -> bool:
    """As many commas in the second line as in the first, which is how libmagic knows CSV (it counts on)."""
    first, _, rest = untrusted_head.partition(b"\n")
    second, end, _ = rest.partition(b"\n")
    return bool(end) and 0 < first.count(b",") == second.count(b",")
