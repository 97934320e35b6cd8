"""What `ways.FirstRow` adds to the guest's table of readers: `soffice --convert-to pdf` from cold, for every office document.

Its text is put at the end of `sandbox/guest/families.py` in that way's own copy of the image.
"""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.guest import office, pages, soffice
from sandbox.guest.families import OFFICE, READERS

if TYPE_CHECKING:
    from sandbox.guest.families import Reader
    from sandbox.guest.wire import Answer, Request

OTHERS = {"text/csv": "csv", "application/x-hwp": "hwp", "application/hwp+zip": "hwpx"}


def by_command(extension: str) -> "Reader":
    """A reader by LibreOffice as a command, with a profile that it has to make and its Java extension to register."""

    def read(document: bytes, answer: "Answer", request: "Request") -> None:
        office.lay_out_profile(soffice.PROFILE)
        source = Path(f"/tmp/document.{extension}")
        source.write_bytes(document)
        command = [f"{office.PROGRAM}/soffice.bin", "--headless", "--norestore", "--nologo", *soffice.PLACES]
        command += ["--convert-to", "pdf", "--outdir", "/tmp", str(source)]
        environment = {**os.environ, "JAVA_TOOL_OPTIONS": soffice.JAVA_OPTIONS}
        while (
            subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False).returncode
            == soffice.RESTART
        ):
            pass
        pages.send_pages(pages.open_mupdf(source.with_suffix(".pdf").read_bytes(), "pdf"), answer, request)

    return read


READERS.update({media_type: by_command(extension) for media_type, extension in {**OFFICE, **OTHERS}.items()})
