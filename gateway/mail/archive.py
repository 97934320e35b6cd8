"""Writes the zip that stands for an archive: what was made safe of its members, and a list of what was removed. Pure.

Members keep their folders, each piece of a path made safe as any file name is; names that some file system takes for
one (case, Unicode forms, a file where a folder is) are numbered. Stored, not deflated, at one fixed time: the same
members give the same bytes. Trusts its caller for the contents, which are all of our making; `read_back` is for
archives that this file has written and no others. Bound: PATH_BYTES a path; who calls bounds number and size.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Final

from gateway.mail.filename import safe_filename
from gateway.mail.notice import removal_list
from gateway.mail.result import Removed, Safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIST_NAME: Final = "REMOVED.txt"
PATH_BYTES: Final = 220  # of UTF-8; Windows takes 260 characters, with the folder that it is unpacked into
_NO_FOLDER: Final = re.compile(r"\.*|[A-Za-z]:")  # the folder itself, the one above, a drive
_LONGEST_ENDING: Final = 20  # of ours, with a number
_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
_REGULAR_FILE: Final = 0o100644 << 16
_UNIX: Final = 3  # who made it, whatever this runs on: file modes are read then

Member = tuple[str, Safe | Removed]  # under the name that the archive had it by, which is untrusted


def write(members: Sequence[Member]) -> bytes:
    """The archive, and in it LIST_NAME where a member was removed."""
    safe = [(safe_path(untrusted_name), result) for untrusted_name, result in members if isinstance(result, Safe)]
    paths = [(*path[:-1], result.name) for path, result in safe]
    files = list(zip(_apart(paths), (result.content for _, result in safe), strict=True))
    gone = removed_of(members)
    if gone:
        files.append((LIST_NAME, removal_list(gone).replace("\n", "\r\n").encode()))
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(_entry(name), content)
    return buffer.getvalue()


def removed_of(members: Sequence[Member]) -> tuple[tuple[str, Removed], ...]:
    """What is not in the archive, under names that can be shown."""
    return tuple(("/".join(safe_path(name)), result) for name, result in members if isinstance(result, Removed))


def read_back(written: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an archive of ours, for who looks at it once more."""
    with zipfile.ZipFile(BytesIO(written)) as archive:
        for entry in archive.infolist():
            yield entry.filename, archive.read(entry)


def safe_path(untrusted_name: str) -> tuple[str, ...]:
    """The pieces of a path that leads nowhere but down; the innermost folders stay where it is too long."""
    pieces = [piece.strip() for piece in re.split(r"[/\\]", untrusted_name)]
    *folders, name = [safe_filename(piece) for piece in pieces if not _NO_FOLDER.fullmatch(piece)] or [
        safe_filename("")
    ]
    room = PATH_BYTES - _LONGEST_ENDING - len(name.encode())
    kept: list[str] = []
    for folder in reversed(folders):
        room -= len(folder.encode()) + 1
        if room < 0:
            break
        kept.insert(0, folder)
    return (*kept, name)


def _apart(paths: list[tuple[str, ...]]) -> Iterator[str]:
    """Each path once, whatever file system it is unpacked into."""
    folders = {_key("/".join(path[:depth])) for path in paths for depth in range(1, len(path))}
    taken = {*folders, _key(LIST_NAME)}
    numbers: dict[str, int] = {}
    for path in paths:
        written = "/".join(path)
        while (key := _key(written)) in taken:
            first = _key("/".join(path))
            numbers[first] = numbers.get(first, 1) + 1
            written = "/".join((*path[:-1], _numbered(path[-1], numbers[first])))
        taken.add(key)
        yield written


def _key(path: str) -> str:
    """What file systems compare: macOS by Unicode form, Windows and macOS without regard for case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _numbered(name: str, number: int) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem} ({number}){dot}{ending}" if stem else f"{name} ({number})"


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.create_system = _UNIX
    entry.external_attr = _REGULAR_FILE
    return entry
