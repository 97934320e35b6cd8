"""`lazaretto filter`: one RFC 5322 message in on standard input, the safe one out on standard output.

Shares everything with `serve` but the sockets: policy, sandbox, notices, originals. Trusts its caller to read the
exit code: 0 done, 65 refused (by policy, or larger than `[smtp] max_message_bytes`), 75 the house is broken and
nothing was printed, 2 usage. A message with bare LF for line ends, as in maildir and mbox, gets them back; any other
mixture is read as it is, strictly.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import structlog

from gateway import config, maillog
from gateway.lazy_sandbox import LazySandbox
from gateway.originals.store import Originals, StorageError
from gateway.sanitise import ReadingsDifferError, Sanitised, sanitise
from sandbox.client import SandboxUnavailableError, open_sandbox

if TYPE_CHECKING:
    from types import TracebackType

log = structlog.get_logger(__name__)


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings; see config/lazaretto.toml.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a JSON report of each part here."
)
def command(file: Path | None, report: Path | None) -> None:
    """Make the attachments of one message harmless: message in, message out."""
    try:
        settings = config.load(file)
    except config.ConfigError as error:
        raise click.UsageError(str(error)) from None
    maillog.configure(settings.log)
    with _TemporaryFailure():
        untrusted_message = sys.stdin.buffer.read(settings.smtp.max_message_bytes + 1)
        if len(untrusted_message) > settings.smtp.max_message_bytes:
            click.echo("lazaretto filter: the message is larger than smtp.max_message_bytes", err=True)
            sys.exit(os.EX_DATAERR)
        bare = b"\n" in untrusted_message and b"\r\n" not in untrusted_message
        if bare:
            untrusted_message = untrusted_message.replace(b"\n", b"\r\n")
        safe = asyncio.run(_made_safe(untrusted_message, settings))
        if report:
            report.write_text(json.dumps(_as_report(safe), indent=1) + "\n", encoding="utf-8")
        if safe.refused:
            click.echo(f"lazaretto filter: refused by policy: {safe.refused}", err=True)
            sys.exit(os.EX_DATAERR)
        sys.stdout.buffer.write(safe.content.replace(b"\r\n", b"\n") if bare else safe.content)
        sys.stdout.buffer.flush()


async def _made_safe(untrusted_message: bytes, settings: config.Settings) -> Sanitised:
    safe = await sanitise(
        untrusted_message, settings, LazySandbox(settings.sandbox, partial(open_sandbox, briefly=True))
    )
    if safe.original_id:
        reasons = tuple(record.reason for record in safe.records if record.id)
        Originals(settings.originals.place).keep(safe.original_id, untrusted_message, reasons, None)
    return safe


def _as_report(safe: Sanitised) -> dict[str, object]:
    parts = [
        {
            "part": record.part,
            "name": record.name,
            "declared": record.declared,
            "found": record.found,
            "outcome": record.outcome,
            "reason": record.reason,
            "id": record.id,
        }
        for record in safe.records
    ]
    return {"clean": not safe.ambiguities, "ambiguities": list(safe.ambiguities), "parts": parts}


class _TemporaryFailure:
    """The boundary: whatever breaks inside is 75 to the caller, who keeps the message."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, ReadingsDifferError):
            maillog.alarm(str(error))
            sys.exit(os.EX_TEMPFAIL)
        if isinstance(error, Exception):
            expected = isinstance(error, (SandboxUnavailableError, StorageError, OSError))
            log.error("house_broken", reason=str(error), exc_info=None if expected else error)
            sys.exit(os.EX_TEMPFAIL)
