"""`lazaretto doctor`: each thing the host must have, found or not, with the line that mends it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gateway.cli.convert import settings_of
from sandbox import client

EX_TEMPFAIL = 75


@click.command()
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For [sandbox].")
def command(config: Path | None) -> None:
    """Say what this host has; exit 0 only if a canary document came back flattened, else 75."""
    table = Table("", "what", "found", "mend", box=None)
    healthy = True
    chosen = False
    console = Console()
    with console.status("starting a sandbox with each runtime"):
        for finding in client.examine(settings_of(config)):
            mark = "ok" if finding.ok else "MISSING" if finding.needed else "-"
            table.add_row(mark, finding.name, finding.found, "" if finding.ok else finding.mend)
            healthy = healthy and (finding.ok or not finding.needed)
            chosen = chosen or (finding.name == client.CHOSEN and finding.ok)
    console.print(table)
    sys.exit(0 if healthy and chosen else EX_TEMPFAIL)
