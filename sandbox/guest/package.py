"""Office packages (zip of XML) looked over before LibreOffice loads them: broken ones make it wait for an answer.

Asked to repair a broken package or to resolve an entity, LibreOfficeKit waits for a user who is not there, until the
deadline. Neither may be in a package: ECMA-376 part 2 forbids declarations, and a zip that cannot be read is none.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from sandbox import contract
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from typing import Any

CHUNK = 1 << 16
MANIFEST = "META-INF/manifest.xml"  # of OpenDocument: says which members are encrypted (part 2, 4.8)


def refuse_broken(document: bytes) -> None:
    """Raise GuestFailure where a package cannot be read, or a part of it is no XML or declares an entity."""
    try:
        with zipfile.ZipFile(io.BytesIO(document)) as package:
            if _ambiguous(package.infolist()):
                raise GuestFailure(contract.CORRUPT)
            if MANIFEST in package.namelist() and b"encryption-data" in package.read(MANIFEST):
                raise GuestFailure(contract.ENCRYPTED)
            for name in package.namelist():
                if name.endswith((".xml", ".rels")):
                    _parse(package, name)
    except RuntimeError as error:  # zipfile's word for a member that needs a password
        raise GuestFailure(contract.ENCRYPTED) from error
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, NotImplementedError, EOFError, OSError) as error:
        raise GuestFailure(contract.CORRUPT) from error


def _ambiguous(members: list[zipfile.ZipInfo]) -> bool:
    """Two members of one name, or a member of two names: each reader takes another, and LibreOffice asks which.

    The second name is in Info-ZIP's field "Unicode Path". ECMA-376 part 2, 6.2.2.3 forbids names that are equivalent.
    """
    names = [member.orig_filename for member in members]
    return len({name.lower() for name in names}) < len(names) or names != [member.filename for member in members]


def _parse(package: zipfile.ZipFile, name: str) -> None:
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _declared
    with package.open(name) as part:
        while chunk := part.read(CHUNK):
            parser.Parse(chunk, False)  # noqa: FBT003 - expat takes it by position
    parser.Parse(b"", True)  # noqa: FBT003 - likewise


def _declared(*_arguments: Any) -> NoReturn:
    raise GuestFailure(contract.CORRUPT)
