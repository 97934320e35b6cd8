"""`lazaretto convert`: documents to flattened PDFs, through the same sandbox that mail goes through."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sandbox import client

EX_SOME_FAILED = 1
EX_TEMPFAIL = 75
MANY = 10  # documents that are worth the seconds in which a snapshot is made


@dataclass(frozen=True, slots=True)
class Line:
    """What `--json` prints of one document; `reason` is "" or a word of `sandbox.contract.REASONS`."""

    input: str
    output: str | None
    mime: str
    pages: int
    bytes: int
    seconds: float
    outcome: str
    reason: str


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output-dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="For NAME.pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a document.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For [sandbox].")
def command(files: tuple[Path, ...], output_dir: Path, config: Path | None, *, as_json: bool) -> None:
    """Flatten documents to OUTPUT_DIR/NAME.pdf, each in a sandbox of its own.

    Exit status: 0 all flattened, 1 some not, 2 usage, 75 no sandbox.
    """
    if len({path.name for path in files}) < len(files):
        raise click.UsageError("two of the files have the same name, and would become the same PDF")
    settings = settings_of(config)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        sandbox = client.open_sandbox(settings, briefly=len(files) < MANY)
        run = _Run(sandbox, settings, output_dir)
        failed = asyncio.run(_convert(run, files, as_json=as_json))
    except (client.SandboxUnavailableError, OSError) as error:
        click.echo(f"lazaretto: {error}", err=True)
        sys.exit(EX_TEMPFAIL)
    sys.exit(EX_SOME_FAILED if failed else 0)


def settings_of(config: Path | None) -> client.SandboxSettings:
    """The [sandbox] part of a configuration file, or the defaults."""
    if config is None:
        return client.SandboxSettings()
    from gateway.config import load  # noqa: PLC0415 - pydantic, only where there is a file to check

    return load(config).sandbox


class _Run:
    """What all documents of one call share; as many are read and under way as there are sandboxes."""

    def __init__(self, sandbox: client.Sandbox, settings: client.SandboxSettings, output_dir: Path) -> None:
        self._sandbox = sandbox
        self._most_bytes = settings.limits.document_bytes
        self._places = asyncio.Semaphore(settings.concurrency)
        self._output_dir = output_dir

    async def convert(self, path: Path) -> Line:
        async with self._places:
            if await asyncio.to_thread(_size, path) > self._most_bytes:  # not even read
                return _failed(path, client.NotFlattened("document_too_large", "", 0.0))
            output = self._output_dir / f"{path.name}.pdf"
            result = await self._sandbox.flatten(await asyncio.to_thread(path.read_bytes), output)
            result = client.unless_disguised(result, path.name)
        if isinstance(result, client.NotFlattened):
            return _failed(path, result)
        seconds = round(result.seconds, 3)
        return Line(str(path), str(output), result.found, result.pages, result.size, seconds, "flattened", "")


def _size(path: Path) -> int:
    return path.stat().st_size


def _failed(path: Path, result: client.NotFlattened) -> Line:
    return Line(str(path), None, result.found, 0, 0, round(result.seconds, 3), "failed", result.reason)


async def _convert(run: _Run, files: tuple[Path, ...], *, as_json: bool) -> int:
    """Convert all; returns how many failed."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("flattening", total=len(files))
        pending = [asyncio.ensure_future(run.convert(path)) for path in files]
        for done in pending:  # in the order given, whichever is ready first
            line = await done
            failed += line.outcome == "failed"
            bar.advance(task)
            click.echo(json.dumps(asdict(line)) if as_json else _told(line))
    return failed


def _told(line: Line) -> str:
    if line.outcome == "failed":
        return f"{line.input}: not flattened: {line.reason}" + (f" ({line.mime})" if line.mime else "")
    return f"{line.input} -> {line.output} ({line.pages} pages, {line.seconds:.1f} s)"
