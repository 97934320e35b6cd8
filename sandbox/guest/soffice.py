"""HWP and HWPX by LibreOffice as a program, spoken to over a pipe (UNO), since its kit cannot run their filter.

The filter is a Java extension. In the kit (25.2) documents are loaded in one component context and filtered in another;
each has a Java machine of its own to start, a process can have one, and the second is asked for again without end.

Fails: what LibreOffice makes of a document, its own death too, raises. Bounds: those outside.
"""

from __future__ import annotations

import functools
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import uno

from sandbox import contract
from sandbox.guest import hwpx
from sandbox.guest.failure import GuestFailure
from sandbox.guest.office import PROGRAM, lay_out_profile

EXTENSIONS = Path("/usr/lib/lazaretto/extensions")
PROFILE = Path("/tmp/profile-of-the-program")  # another than that of the kit, which may run beside it and has it locked
PIPE = "pipe,name=lazaretto"
SOCKET = Path(f"/tmp/OSL_PIPE_{os.getuid()}_lazaretto")  # by which it listens (LibreOffice core, sal/osl/unx/pipe.cxx)
PLACES = (f"-env:UserInstallation={PROFILE.as_uri()}", f"-env:BUNDLED_EXTENSIONS={EXTENSIONS.as_uri()}")
COMMAND = (
    f"{PROGRAM}/soffice.bin",
    "--headless",
    "--norestore",
    "--nologo",
    "--nodefault",
    f"--accept={PIPE};urp;",
    *PLACES,
)
# a document is read once: neither the second compiler nor a parallel collector earns what it costs
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -XX:-UsePerfData"
RESTART = 81  # LibreOffice's exit code for "my profile is ready, start me again"
LOOK_SECONDS = 0.02  # between two looks at whether it listens
Properties = tuple[Any, ...]


class Program:
    """LibreOffice in a process of its own, which listens."""

    def __init__(self) -> None:
        """Start it and wait until it listens; raises OSError where it ends instead."""
        lay_out_profile(PROFILE)
        process = _started()
        while not SOCKET.exists():  # the deadline outside bounds a LibreOffice that never listens
            code = process.poll()
            if code == RESTART:
                process = _started()
            elif code is not None:
                raise OSError(f"LibreOffice ended with {code}")
            time.sleep(LOOK_SECONDS)
        time.sleep(LOOK_SECONDS)  # the socket is there a moment before anybody listens

    def to_pdf(self, source: Path, target: Path) -> None:
        """Load `source`, by the filter of its extension, and write `target`; raises GuestFailure or UNO's exceptions.

        Once in a process: of what a second connection asks for, UNO remembers the first's.
        """
        loaded = _desktop().loadComponentFromURL(source.as_uri(), "_blank", 0, _properties(Hidden=True))
        if loaded is None:
            raise GuestFailure(contract.CORRUPT)
        loaded.storeToURL(target.as_uri(), _properties(FilterName="writer_pdf_Export"))


def _desktop() -> Any:
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    context = resolver.resolve(f"uno:{PIPE};urp;StarOffice.ComponentContext")
    return context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)


def _started() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS}
    return subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, env=environment)


def _properties(**values: Any) -> Properties:
    kind = "com.sun.star.beans.PropertyValue"
    return tuple(uno.createUnoStruct(kind, Name=name, Value=value) for name, value in values.items())


def rehearse() -> None:
    """Read and print a document of our own, in a process that ends: no connection outlives being frozen.

    Raises OSError where it failed.
    """
    child = os.fork()
    if child == 0:
        try:
            soffice_to_pdf(hwpx.document(), "hwpx")
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise OSError("LibreOffice did not print its first document")


@functools.cache
def the_program() -> Program:
    """This sandbox's program, started when it is first asked for: it has one at most."""
    return Program()


def soffice_to_pdf(document: bytes, extension: str) -> bytes:
    """One document as PDF; raises as `Program.to_pdf` does."""
    source = Path(f"/tmp/document.{extension}")
    target = source.with_suffix(".pdf")
    source.write_bytes(document)
    the_program().to_pdf(source, target)
    written = target.read_bytes()
    for path in (source, target):
        path.unlink()
    return written
