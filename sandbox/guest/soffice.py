"""HWP, HWPX and CSV by LibreOffice as a program, since LibreOfficeKit 25.2 does not load them.

The import filter of the first two is a Java extension whose calls wait for a main loop that is not there, without
end; CSV comes back as "an empty reference". These formats pay for a start of their own.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from sandbox import contract
from sandbox.guest.failure import GuestFailure
from sandbox.guest.office import PROGRAM, lay_out_profile

EXTENSIONS = Path("/usr/lib/lazaretto/extensions")
PROFILE = Path("/tmp/profile-of-the-program")  # another than that of the kit, which may run beside it and has it locked
RESTART = 81  # LibreOffice's exit code for "my profile is ready, start me again"


def soffice_to_pdf(document: bytes, extension: str) -> bytes:
    """One document as PDF; raises GuestFailure where LibreOffice wrote none."""
    lay_out_profile(PROFILE)
    source = Path(f"/tmp/document.{extension}")
    source.write_bytes(document)
    command = [f"{PROGRAM}/soffice.bin", "--headless", "--norestore", "--nologo"]
    command += [f"-env:UserInstallation={PROFILE.as_uri()}", f"-env:BUNDLED_EXTENSIONS={EXTENSIONS.as_uri()}"]
    command += ["--convert-to", "pdf", "--outdir", "/tmp", str(source)]
    while subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == RESTART:
        pass  # the deadline outside bounds a LibreOffice that never has enough
    target = source.with_suffix(".pdf")
    if not target.exists():
        raise GuestFailure(contract.CORRUPT)
    return target.read_bytes()
