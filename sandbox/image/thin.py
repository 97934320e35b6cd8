"""The unpacked tree without the libraries that nothing in it needs, and with times that each build gives it.

A library of the system stays where a program, a module or another library that stays names it (DT_NEEDED), or where
`recipe.OPENED_BY_NAME` does. What stays is thus found in the files and not listed: it follows Debian's updates.

Trusts: the tree, which apt has checked. Fails: a program that is no ELF file of 64 bits, least byte first, raises
ValueError, since then the answer would be wrong. Bounds: each file is read once, and no file but programs.
"""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from typing import TYPE_CHECKING

from sandbox.image import recipe

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x7fELF"
CLASS64_LITTLE = b"\x02\x01"  # e_ident[EI_CLASS], e_ident[EI_DATA]
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
DYNAMIC = struct.Struct("<qQ")  # Elf64_Dyn
PT_LOAD, PT_DYNAMIC = 1, 2
CLOCK_STEP = 1.0  # seconds: a file's time comes from a coarser clock than the one that is read here
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


def remove_unneeded_libraries(root: Path) -> None:
    """Remove the system's libraries that nothing needs, and the links to them."""
    libraries: dict[Path, list[Path]] = defaultdict(list)  # a library and the names by which it is asked for
    for path in root.glob("usr/lib/*-linux-gnu/*.so*"):
        libraries[_followed(path)].append(path)
    by_name = {path.name: library for library, names in libraries.items() for path in names}
    others = [path for path in root.glob("usr/**/*") if path not in libraries and _is_program(path)]
    needed: set[Path] = set()
    wanted = [*recipe.OPENED_BY_NAME, *(name for path in others for name in needed_by(path))]
    while wanted:
        library = by_name.get(wanted.pop())
        if library and library not in needed:
            needed.add(library)
            wanted += needed_by(library) if _is_program(library) else []
    for path in {path for library in libraries.keys() - needed for path in (library, *libraries[library])}:
        path.unlink(missing_ok=True)


def needed_by(path: Path) -> list[str]:
    """The names of the libraries that a program or library asks for (gABI, chapter 5, "Dynamic Section")."""
    data = path.read_bytes()
    if data[4:6] != CLASS64_LITTLE:
        raise ValueError(f"{path}: not of 64 bits, least byte first")
    header = HEADER.unpack_from(data)
    at, size, count = header[5], header[9], header[10]
    segments = [PROGRAM_HEADER.unpack_from(data, at + index * size) for index in range(count)]
    loaded = [(address, offset, length) for kind, _, offset, address, _, length, _, _ in segments if kind == PT_LOAD]
    entries: list[tuple[int, int]] = []
    for kind, _, offset, _, _, length, _, _ in segments:
        if kind == PT_DYNAMIC:
            entries = list(DYNAMIC.iter_unpack(data[offset : offset + length]))
    entries = entries[: next((index for index, (tag, _) in enumerate(entries) if tag == DT_NULL), None)]
    address = next((value for tag, value in entries if tag == DT_STRTAB), 0)
    strings = next((offset + address - start for start, offset, size in loaded if start <= address < start + size), 0)
    return [_text(data, strings + value) for tag, value in entries if tag == DT_NEEDED]


def settle_times(root: Path, begun: float) -> None:
    """Give all that the build made since `begun` one time; packages' files keep their own.

    Python's and Java's caches of compiled code are valid while what they were made from keeps its time.
    """
    for path in (root, *root.rglob("*")):
        if path.lstat().st_mtime >= begun - CLOCK_STEP:
            os.utime(path, (recipe.REPRODUCIBLE_TIME, recipe.REPRODUCIBLE_TIME), follow_symlinks=False)


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _followed(path: Path) -> Path:
    """Where a link leads, by the last part of its name: links of libraries stay in one directory."""
    for _ in range(4):
        if not path.is_symlink():
            break
        path = path.with_name(path.readlink().name)
    return path


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
