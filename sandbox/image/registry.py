"""LibreOffice's settings without those of its windows: nobody sees one, and every sandbox would hold them in memory.

A registry file (.xcd, LibreOffice core, configmgr) is XML, a list of components; those of menus, toolbars, keys and
wizards are cut out of its bytes, the rest stays as it is. Trusts: Debian's files, which apt has checked. Fails: never;
what is not found stays. Bounds: a file is read once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "usr/lib/libreoffice/share/registry"
COMPONENT = re.compile(
    rb"<oor:component-data\b(?P<attributes>[^>]*?)(?:/>|>.*?</oor:component-data>)", re.DOTALL
)  # one is never in another
ATTRIBUTE = re.compile(rb'\boor:(package|name)="([^"]*)"')
OF_WINDOWS = re.compile(
    rb"org\.openoffice\.Office\.(?:Accelerators|FormWizard|PresenterScreen|TableWizard"
    rb"|UI\.(?:\w*Commands|\w*WindowState|Controller|Infobar|Sidebar|ToolbarMode))"
)


def leave_windows_out(root: Path) -> None:
    """Cut all registry files below `root`. New files, not new contents: they share hard links with the base."""
    for path in sorted((root / PLACE).glob("*.xcd")):
        file = root / path.readlink().relative_to("/") if path.is_symlink() else path
        text = without_windows(file.read_bytes())
        file.unlink()
        file.write_bytes(text)


def without_windows(document: bytes) -> bytes:
    """A registry file without its components of windows."""
    return COMPONENT.sub(lambda component: b"" if _is_of_windows(component["attributes"]) else component[0], document)


def _is_of_windows(attributes: bytes) -> bool:
    said = dict(ATTRIBUTE.findall(attributes))
    return bool(OF_WINDOWS.fullmatch(said.get(b"package", b"") + b"." + said.get(b"name", b"")))
