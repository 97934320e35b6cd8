"""LibreOffice's registry files lose the settings of windows, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.image import registry

HEAD = b'<?xml version="1.0"?>\n<oor:data xmlns:oor="http://openoffice.org/2001/registry"><dependency file="main"/>'
KEPT = (
    b'<oor:component-data oor:name="VCL" oor:package="org.openoffice"><node oor:name="a &gt; b"/></oor:component-data>'
)
SCHEMA = b'<oor:component-schema oor:package="org.openoffice.Office.UI" oor:name="Commands"></oor:component-schema>'
TAIL = b"</oor:data>\n"


def component(name: str, package: str = "org.openoffice.Office.UI", inside: bytes = b"<node/>") -> bytes:
    head = f'<oor:component-data oor:package="{package}" oor:name="{name}">'.encode()
    return head + inside + b"</oor:component-data>"


@pytest.mark.parametrize(
    "cut",
    [
        component("GenericCommands"),
        component("WriterWindowState", inside="<value>ö</value>".encode()),
        component("Accelerators", "org.openoffice.Office"),
        b'<oor:component-data oor:package="org.openoffice.Office.UI" oor:name="Sidebar"/>',
    ],
)
def test_what_windows_need_is_cut_and_the_rest_stays_to_the_byte(cut: bytes):
    assert registry.without_windows(HEAD + cut + KEPT + cut + SCHEMA + cut + TAIL) == HEAD + KEPT + SCHEMA + TAIL


@pytest.mark.parametrize("name", ["Effects", "Category", "CommandsOfNobody"])
def test_what_is_not_listed_stays(name: str):
    document = HEAD + component(name) + TAIL
    assert registry.without_windows(document) == document


def test_files_that_are_shared_by_hard_links_and_by_symbolic_ones_are_written_anew(tmp_path: Path):
    root = tmp_path / "root"
    place, etc = root / registry.PLACE, root / "etc/libreoffice"
    place.mkdir(parents=True)
    etc.mkdir(parents=True)
    base = tmp_path / "base.xcd"
    base.write_bytes(HEAD + component("GenericCommands") + TAIL)
    for file in (place / "calc.xcd", etc / "main.xcd"):
        file.hardlink_to(base)
    (place / "main.xcd").symlink_to("/etc/libreoffice/main.xcd")
    registry.leave_windows_out(root)
    assert (place / "calc.xcd").read_bytes() == (etc / "main.xcd").read_bytes() == HEAD + TAIL
    assert (place / "main.xcd").is_symlink()
    assert base.read_bytes() == HEAD + component("GenericCommands") + TAIL
