"""HWP, HWPX and CSV by LibreOffice as a program, since LibreOfficeKit 25.2 does not load them.

The import filter of the first two is a Java extension whose calls wait for a main loop that is not there, without
end; CSV comes back as "an empty reference". These formats pay for a start of their own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sandbox import contract
from sandbox.guest.failure import GuestFailure
from sandbox.guest.office import PROGRAM, lay_out_profile

EXTENSIONS = Path("/usr/lib/lazaretto/extensions")
PROFILE = Path("/tmp/profile-of-the-program")  # another than that of the kit, which may run beside it and has it locked
# a document is read once: neither the second compiler nor a parallel collector earns what it costs
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
RESTART = 81  # LibreOffice's exit code for "my profile is ready, start me again"


def prepare() -> None:
    """A profile that has been started with once: LibreOffice has told itself all about its extensions then."""
    _convert(b"rehearsal", "txt")


def soffice_to_pdf(document: bytes, extension: str) -> bytes:
    """One document as PDF; raises GuestFailure where LibreOffice wrote none."""
    written = _convert(document, extension)
    if written is None:
        raise GuestFailure(contract.CORRUPT)
    return written


def _convert(document: bytes, extension: str) -> bytes | None:
    if not PROFILE.exists():
        lay_out_profile(PROFILE)
    source = Path(f"/tmp/document.{extension}")
    target = source.with_suffix(".pdf")
    source.write_bytes(document)
    command = [f"{PROGRAM}/soffice.bin", "--headless", "--norestore", "--nologo"]
    command += [f"-env:UserInstallation={PROFILE.as_uri()}", f"-env:BUNDLED_EXTENSIONS={EXTENSIONS.as_uri()}"]
    command += ["--convert-to", "pdf", "--outdir", "/tmp", str(source)]
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS}
    while subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment).returncode == RESTART:
        pass  # the deadline outside bounds a LibreOffice that never has enough
    written = target.read_bytes() if target.exists() else None
    for path in (source, target):
        path.unlink(missing_ok=True)
    return written
