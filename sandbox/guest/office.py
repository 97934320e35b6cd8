"""Office formats by LibreOfficeKit, LibreOffice's C interface, in this very process.

Macros never run, links are never updated (`sandbox/image/registrymodifications.xcu`), and there is no network to
load from. A document that asks for a password is told that there is none, which is how it is known to be encrypted.

The structs are those of LibreOfficeKit.h (LibreOffice core, include/LibreOfficeKit); only the leading fields are named,
in their order, which upstream keeps stable.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
from pathlib import Path
from typing import Any

from sandbox import contract
from sandbox.guest.failure import GuestFailure
from sandbox.guest.package import refuse_broken

PROGRAM = "/usr/lib/libreoffice/program"
PROFILE = Path("/tmp/profile")
SETTINGS = Path("/usr/lib/lazaretto/registrymodifications.xcu")
FEATURE_DOCUMENT_PASSWORD = 1 << 0  # LOK_FEATURE_DOCUMENT_PASSWORD
# LibreOffice would ask how to read a table in text, and nobody answers: silent; commas, quotation marks, UTF-8, from
# the first line on, no quoted field as text, numbers and dates as such (LibreOffice's help, "Filter Options for CSV")
LOAD_OPTIONS = {".csv": b"Batch=true,44,34,76,1,,0,false,true,false"}
CALLBACK_DOCUMENT_PASSWORD = 20  # LOK_CALLBACK_DOCUMENT_PASSWORD

_callback_type = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def _function(result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *arguments)


class _OfficeClass(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("destroy", _function(None)),
        ("document_load", _function(ctypes.c_void_p, ctypes.c_char_p)),
        ("get_error", _function(ctypes.c_void_p)),
        ("document_load_with_options", _function(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)),
        ("free_error", ctypes.c_void_p),
        ("register_callback", _function(None, _callback_type, ctypes.c_void_p)),
        ("get_filter_types", _function(ctypes.c_void_p)),
        ("set_optional_features", _function(None, ctypes.c_ulonglong)),
        ("set_document_password", _function(None, ctypes.c_char_p, ctypes.c_char_p)),
    )


class _DocumentClass(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("destroy", _function(None)),
        ("save_as", _function(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)),
    )


class Office:
    """LibreOffice in this process: `to_pdf` loads one file and writes it as PDF."""

    def __init__(self) -> None:
        """Start LibreOffice; raises OSError where the library is missing."""
        lay_out_profile(PROFILE)
        library = ctypes.CDLL(f"{PROGRAM}/libmergedlo.so", mode=ctypes.RTLD_GLOBAL)
        library.libreofficekit_hook_2.restype = ctypes.c_void_p
        self._office = library.libreofficekit_hook_2(PROGRAM.encode(), PROFILE.as_uri().encode())
        if not self._office:
            raise OSError("LibreOffice did not start")
        self._calls: Any = _calls_of(self._office, _OfficeClass)
        self._asked_for_password = False
        self._callback = _callback_type(self._on_event)  # kept: LibreOffice holds the bare pointer
        self._calls.set_optional_features(self._office, FEATURE_DOCUMENT_PASSWORD)
        self._calls.register_callback(self._office, self._callback, None)

    def _on_event(self, kind: int, payload: bytes | None, _data: int | None) -> None:
        # a load that needs a password waits until one is set; NULL means that there is none
        if kind == CALLBACK_DOCUMENT_PASSWORD:
            self._asked_for_password = True
            self._calls.set_document_password(self._office, payload, None)

    def to_pdf(self, source: Path, target: Path) -> None:
        """Load `source` and write `target`; raises GuestFailure where it is encrypted or cannot be read."""
        options = LOAD_OPTIONS.get(source.suffix, b"")
        loaded = self._calls.document_load_with_options(self._office, source.as_uri().encode(), options)
        if self._asked_for_password:
            raise GuestFailure(contract.ENCRYPTED)
        if not loaded:
            raise GuestFailure(contract.CORRUPT)
        saved = _calls_of(loaded, _DocumentClass).save_as(loaded, target.as_uri().encode(), b"pdf", None)
        if not saved or not target.exists():
            raise GuestFailure(contract.CORRUPT)

    def rehearse(self, source: str, targets: list[Path]) -> None:
        """Load `source`, a URL of our own, save it as each of `targets` by its extension, and close it again."""
        loaded = self._calls.document_load_with_options(self._office, source.encode(), b"")
        if not loaded:
            raise OSError(f"LibreOffice did not load {source}")
        calls = _calls_of(loaded, _DocumentClass)
        for target in targets:
            if not calls.save_as(loaded, target.as_uri().encode(), target.suffix[1:].encode(), None):
                raise OSError(f"LibreOffice did not save {source} as {target.suffix}")
        calls.destroy(loaded)


def _calls_of(handle: int, class_type: type[ctypes.Structure]) -> Any:
    # a handle points to a struct whose first field points to the table of calls
    table = ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p)).contents.value
    return ctypes.cast(table or 0, ctypes.POINTER(class_type)).contents


def lay_out_profile(place: Path) -> None:
    """A user profile that holds our settings and nothing else."""
    (place / "user").mkdir(parents=True)
    shutil.copyfile(SETTINGS, place / "user" / SETTINGS.name)


@functools.cache
def the_office() -> Office:
    """This process's LibreOffice, started when it is first asked for: it has one at most."""
    return Office()


def office_to_pdf(document: bytes, extension: str) -> bytes:
    """One office document as PDF; `extension` chooses the import filter. Raises GuestFailure."""
    source, target = Path(f"/tmp/document.{extension}"), Path("/tmp/document.pdf")
    if document.startswith(b"PK"):
        refuse_broken(document)
    source.write_bytes(document)
    the_office().to_pdf(source, target)
    return target.read_bytes()
