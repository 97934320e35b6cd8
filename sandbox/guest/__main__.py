"""The guest's way: stand ready, read one document, find out what it is, send its pages, end.

Reads standard input, writes frames to standard output. Trusts nobody and is trusted by nobody: the bounds it keeps
spare work and give a reason that helps the reader; the ones that hold are kept outside (gVisor, cgroups, the host).
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from sandbox import contract
from sandbox.guest import families, standing
from sandbox.guest.failure import GuestFailure
from sandbox.guest.sniff import media_type_of
from sandbox.guest.wire import Answer, Request, read_command, read_request


def main() -> None:
    """Answer one request; every way out is a FAILED or an END frame."""
    answer = Answer(own_stdout())
    while (command := read_command()).kind == contract.PREPARE:
        standing.prepare(command.flags)
        answer.prepared()
    standing.reseed(command.seed)
    if command.flags & contract.OPEN_EARLY:
        standing.draw_text()
    answer.hello()
    request = read_request()
    try:
        convert(request.document, answer, request)
    except GuestFailure as failure:
        answer.failed(failure.reason)
    except MemoryError:
        answer.failed(contract.OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - readers of hostile files raise anything; the type helps, no more
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        answer.failed(contract.CORRUPT)


def own_stdout() -> BinaryIO:
    """Standard output for frames alone: what libraries print (MuPDF's warnings do) goes to standard error."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def convert(document: bytes, answer: Answer, request: Request) -> None:
    """Identify by content, open with the family's reader, send every page, or every member of a container."""
    if not document:
        raise GuestFailure(contract.EMPTY)
    media_type = media_type_of(document)
    answer.found(media_type)
    reader = families.reader_for(media_type, request)
    if reader is None:
        raise GuestFailure(contract.UNKNOWN_TYPE)
    reader(document, answer, request)


if __name__ == "__main__":
    main()
    # LibreOffice's threads sometimes wait for each other when a process ends in good order; nothing here needs that
    os._exit(0)
