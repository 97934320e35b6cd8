"""What of the system's libraries stays in the image, on trees of small programs written by hand."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from sandbox.image import recipe, thin

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def elf(*needed: str) -> bytes:
    """A program of two segments, both the whole of its strings and entries, loaded away from where they lie."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offset, address = 64 + 2 * 56, 0x1000
    entries = [(thin.DT_STRTAB, address)]
    entries += [(thin.DT_NEEDED, strings.index(b"\0" + name.encode() + b"\0") + 1) for name in needed]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (thin.DT_NULL, 0), (thin.DT_NEEDED, 0)])
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = thin.HEADER.pack(ident, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = thin.PROGRAM_HEADER.pack(thin.PT_LOAD, 4, offset, address, 0, len(strings), len(strings), 1)
    start = offset + len(strings)
    told = thin.PROGRAM_HEADER.pack(thin.PT_DYNAMIC, 4, start, 0, 0, len(dynamic), len(dynamic), 1)
    return header + loaded + told + strings + dynamic


def put(root: Path, name: str, data: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def left(root: Path) -> set[str]:
    return {path.name for path in (root / LIBRARIES).iterdir()}


def test_the_libraries_that_a_program_names_are_read_from_it(tmp_path: Path):
    assert thin.needed_by(put(tmp_path, "a", elf("libc.so.6", "libm.so.6"))) == ["libc.so.6", "libm.so.6"]
    assert thin.needed_by(put(tmp_path, "b", elf())) == []


def test_a_program_of_another_kind_is_no_guess(tmp_path: Path):
    other = bytearray(elf("libc.so.6"))
    other[4] = 1  # ELFCLASS32
    with pytest.raises(ValueError, match="64 bits"):
        thin.needed_by(put(tmp_path, "a", bytes(other)))


def test_what_is_needed_stays_with_all_that_it_needs_and_its_links(tmp_path: Path):
    put(tmp_path, "usr/bin/program", elf("liba.so.1"))
    put(tmp_path, f"{LIBRARIES}/liba.so.1.2", elf("libb.so.1"))
    put(tmp_path, f"{LIBRARIES}/libb.so.1", elf())
    (tmp_path / LIBRARIES / "liba.so.1").symlink_to("liba.so.1.2")
    thin.remove_unneeded_libraries(tmp_path)
    assert left(tmp_path) == {"liba.so.1", "liba.so.1.2", "libb.so.1"}


def test_what_only_unneeded_libraries_need_goes_with_them(tmp_path: Path):
    put(tmp_path, "usr/bin/program", elf())
    put(tmp_path, f"{LIBRARIES}/liba.so.1.2", elf("libb.so.1"))
    put(tmp_path, f"{LIBRARIES}/libb.so.1", elf("liba.so.1"))
    (tmp_path / LIBRARIES / "liba.so.1").symlink_to("liba.so.1.2")
    (tmp_path / LIBRARIES / "libblas.so.3").symlink_to("/etc/alternatives/libblas.so.3-x86_64-linux-gnu")
    thin.remove_unneeded_libraries(tmp_path)
    assert left(tmp_path) == set()


def test_modules_anywhere_count_and_so_do_libraries_opened_by_name(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recipe, "OPENED_BY_NAME", {"libnamed.so.1": "a test", "libabsent.so.1": "another"})
    put(tmp_path, "usr/lib/office/module.so", elf("liba.so.1"))
    put(tmp_path, "usr/lib/office/picture.png", b"no program")
    put(tmp_path, f"{LIBRARIES}/liba.so.1", elf())
    put(tmp_path, f"{LIBRARIES}/libnamed.so.1", elf("libb.so.1"))
    put(tmp_path, f"{LIBRARIES}/libb.so.1", elf())
    thin.remove_unneeded_libraries(tmp_path)
    assert left(tmp_path) == {"liba.so.1", "libnamed.so.1", "libb.so.1"}


def test_what_a_build_makes_gets_one_time_and_what_it_unpacks_keeps_its_own(tmp_path: Path):
    begun = 1_700_000_000.0
    for name, time in (("packaged", begun - 60), ("made", begun), ("made-later", begun + 60)):
        os.utime(put(tmp_path, f"tree/{name}", b""), (time, time))
    thin.settle_times(tmp_path / "tree", begun)
    times = {path.name: path.stat().st_mtime for path in (tmp_path / "tree").iterdir()}
    settled = float(recipe.REPRODUCIBLE_TIME)
    assert times == {"packaged": begun - 60, "made": settled, "made-later": settled}
    assert (tmp_path / "tree").stat().st_mtime == settled
