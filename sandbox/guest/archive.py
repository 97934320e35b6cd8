"""Archives and packed single files, a member after the other, by libarchive.

What is opened is an allow-list (`archive_kinds.py`). No reader starts a program. Directories are no members; what is a
link or a device is left out, and so is what needs a password. A member that breaks is left out and the next one is
tried; where nothing more can be read a member without a name stands for the rest.

Trusts nothing. Bounds: `Members`; a window of decompression is as large as the file asks, within the sandbox's memory.
"""

from __future__ import annotations

import ctypes
import enum
import os
import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandbox import contract
from sandbox.guest import rar
from sandbox.guest.archive_kinds import KINDS, Kind
from sandbox.guest.failure import GuestFailure
from sandbox.guest.members import Members

if TYPE_CHECKING:
    from sandbox.guest.wire import Answer, Request

os.environ["LIBARCHIVE"] = "libarchive.so.13"  # there is no linker to ask for its place
from libarchive import ffi
from libarchive.exception import ArchiveError

PIECE = 1 << 18
MOST_REOPENED = 16  # times; each reads all headers again
RETRIES = 8  # of a header, where the library says that it might come
NO_NAME = "data"  # what libarchive calls the content of a packed file that tells no name


_append_filter = ffi.ffi("read_append_filter", [ffi.c_archive_p, ctypes.c_int], ctypes.c_int, ffi.check_int)
_set_options = ffi.ffi("read_set_options", [ffi.c_archive_p, ctypes.c_char_p], ctypes.c_int, ffi.check_int)
_has_encrypted = ffi.ffi("read_has_encrypted_entries", [ffi.c_archive_p], ctypes.c_int)
_is_encrypted = ffi.ffi("entry_is_encrypted", [ffi.c_archive_entry_p], ctypes.c_int)


def read(document: bytes, answer: Answer, request: Request, media_type: str) -> None:
    """Send every member of an archive; raises GuestFailure where none can be read."""
    kind = KINDS[media_type]
    members = Members(contract.ARCHIVE, answer, request)
    if not _read(document, kind, members) and "raw" in kind.formats:
        # a tar that ends before it begins is a file that begins with zeros
        _read(document, replace(kind, formats=("raw",)), members)
    members.end()


def _read(document: bytes, kind: Kind, members: Members) -> int:
    """Send every member; returns how many entries there were."""
    archive = _opened(document, kind)
    locked = rar.wants_password(document) if document.startswith(rar.SIGNATURE) else []
    passed = reopened = 0
    while (
        met := _send_next(archive, kind, members, locked=passed < len(locked) and locked[passed])
    ) is not Met.NO_MORE:
        passed += 1
        if met is not Met.NO_WAY_ON:
            continue
        reopened += 1
        archive = _opened(document, kind)
        if reopened > MOST_REOPENED or not _skipped(archive, passed):
            members.begin("")
            members.leave(contract.CORRUPT)
            break
    return passed


class Met(enum.Enum):
    """How it went with one entry."""

    DONE = 1
    NO_WAY_ON = 2  # this reader is of no use any more; another may get past it
    NO_MORE = 3


def _opened(document: bytes, kind: Kind) -> Any:
    archive = ffi.read_new()
    for name in kind.formats:
        ffi.get_read_format_function(name)(archive)
    if kind.filter_code:
        _append_filter(archive, kind.filter_code)
    if kind.must_say:
        _set_options(archive, f"hdrcharset={kind.charset.upper()}".encode())
    try:
        ffi.read_open_memory(archive, ctypes.cast(ctypes.c_char_p(document), ctypes.c_void_p), len(document))
    except ArchiveError as error:  # none of the readers knows it; asked for more, the library crashes now
        raise GuestFailure(contract.CORRUPT) from error
    return archive


def _skipped(archive: Any, entries: int) -> bool:
    """True where a new reader gets past so many entries."""
    try:
        return all(_header(archive, ctypes.c_void_p()) != ffi.ARCHIVE_EOF for _ in range(entries))
    except ArchiveError:
        return False


def _send_next(archive: Any, kind: Kind, members: Members, *, locked: bool) -> Met:
    entry = ctypes.c_void_p()
    try:
        if _header(archive, entry) == ffi.ARCHIVE_EOF:
            return Met.NO_MORE
    except ArchiveError as error:
        members.begin("")
        members.leave(contract.ENCRYPTED if _has_encrypted(archive) > 0 else _reason(error))
        return Met.NO_MORE
    if stat.S_ISDIR(ffi.entry_filetype(entry)):
        return Met.DONE
    members.begin(_name(entry, kind))
    if reason := contract.ENCRYPTED if locked else _left_unread(entry):
        members.leave(reason)
        return Met.DONE
    try:
        _send(archive, members)
    except ArchiveError as error:
        members.leave(_reason(error))
        return Met.NO_WAY_ON if error.retcode == ffi.ARCHIVE_FATAL else Met.DONE
    return Met.DONE


def _reason(error: ArchiveError) -> str:
    """Why a member cannot be read; that it wants a password some readers say in words alone."""
    return contract.ENCRYPTED if re.search("encrypt|passphrase", str(error.msg), re.IGNORECASE) else contract.CORRUPT


def _header(archive: Any, entry: ctypes.c_void_p) -> int:
    for _ in range(RETRIES):
        try:
            return int(ffi.read_next_header(archive, ctypes.byref(entry)))
        except ArchiveError as error:
            if error.retcode != ffi.ARCHIVE_RETRY:
                raise
    return int(ffi.read_next_header(archive, ctypes.byref(entry)))


def _left_unread(entry: ctypes.c_void_p) -> str:
    if ffi.entry_hardlink(entry) or ffi.entry_symlink(entry):
        return contract.UNKNOWN_TYPE
    if ffi.entry_filetype(entry) not in (0, stat.S_IFREG):
        return contract.UNKNOWN_TYPE
    return contract.ENCRYPTED if _is_encrypted(entry) else ""


def _send(archive: Any, members: Members) -> None:
    piece = ctypes.create_string_buffer(PIECE)
    view = memoryview(piece).cast("B")
    while got := ffi.read_data(archive, piece, PIECE):
        if got < 0:  # a warning, such as of a checksum
            raise ArchiveError("the member is damaged", retcode=got)
        members.add(view[:got])


def _name(entry: ctypes.c_void_p, kind: Kind) -> str:
    """The member's name as text, by UTF-8 or by the charset that was usual; never fails."""
    raw: bytes | None = ffi.entry_pathname(entry)
    if raw is None:
        return str(ffi.entry_pathname_w(entry) or "")
    if kind.filter_code and raw == NO_NAME.encode():
        return ""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(kind.charset, "replace")
