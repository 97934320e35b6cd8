"""`lazaretto image build`, `info` and `export`: the root filesystem that both walls of the sandbox share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sandbox import client

EX_UNAVAILABLE = 75  # EX_TEMPFAIL of sysexits.h: mend the host and try again

_directory = click.option(
    "--cache-dir", type=click.Path(path_type=Path), help="Where images are kept (default: the system's cache)."
)


@click.group()
def command() -> None:
    """Build the sandbox image, say what it is, or hand it to an engine."""


@command.command()
@click.option("--mirror", help="A Debian mirror's URL; by default the one that this host's apt uses.")
@click.option("--force", is_flag=True, help="Build anew although it is there.")
@_directory
def build(mirror: str | None, cache_dir: Path | None, *, force: bool) -> None:
    """Build the image where it is not built yet; the package archive is asked once."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)

        def show(phase: str, share: float) -> None:
            bar.update(task, description=phase, completed=share)
            if not console.is_terminal:
                console.print(f"image: {phase}")

        try:
            path = client.build_image(show, cache_dir, mirror, force=force)
        except client.SandboxUnavailableError as error:
            click.echo(f"lazaretto: {error}", err=True)
            sys.exit(EX_UNAVAILABLE)
    click.echo(path)


@command.command()
@_directory
def info(cache_dir: Path | None) -> None:
    """Print what the image holds, as JSON; exit 75 where it is not built."""
    described = client.image_info(cache_dir)
    if described is None:
        click.echo("lazaretto: the image is not built; run `lazaretto image build`", err=True)
        sys.exit(EX_UNAVAILABLE)
    click.echo(json.dumps(described, indent=2))


@command.command()
@_directory
def export(cache_dir: Path | None) -> None:
    """Write the image as a tar archive to standard output, for `podman import` or `docker import`."""
    try:
        client.export_image(sys.stdout.buffer, cache_dir)
    except (client.SandboxUnavailableError, OSError) as error:
        click.echo(f"lazaretto: {error}", err=True)
        sys.exit(EX_UNAVAILABLE)
