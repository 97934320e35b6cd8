"""`lazaretto convert`: documents to flattened PDFs, through the same sandbox that mail goes through.

What holds other files comes back as it would in mail: archives as a zip of what was made safe, messages as messages.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.assembly import Assembly
from gateway.budget import Budget
from gateway.documents import Bench, Document
from gateway.mail.filename import safe_filename
from gateway.mail.policy import Policy
from gateway.mail.result import Removed
from gateway.shelf import Shelf
from sandbox import client

EX_SOME_FAILED = 1
EX_TEMPFAIL = 75
MANY = 10  # documents that are worth the seconds in which a snapshot is made


@dataclass(frozen=True, slots=True)
class Line:
    """What `--json` prints of one document; `reason` is "" or a word of those in README.md."""

    input: str
    output: str | None
    mime: str
    pages: int
    bytes: int
    seconds: float
    outcome: str  # flattened, repacked (what was in it is) or failed
    reason: str
    removed: int = 0  # how much of what was in it could not be made safe


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="For NAME.pdf, NAME.zip, NAME.eml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a document.")
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For [sandbox], [mail], [policy]."
)
def command(files: tuple[Path, ...], output_dir: Path, config: Path | None, *, as_json: bool) -> None:
    """Flatten documents to OUTPUT_DIR/NAME.pdf, each in a sandbox of its own.

    Archives become NAME.zip, with what was made safe of the files in them; messages become NAME.eml.

    Exit status: 0 all flattened, 1 some not, 2 usage, 75 no sandbox.
    """
    if len({path.name for path in files}) < len(files):
        raise click.UsageError("two of the files have the same name, and would become the same PDF")
    settings = settings_of(config)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        sandbox = client.open_sandbox(settings, briefly=len(files) < MANY)
        run = _Run(sandbox, settings, policy_of(config), output_dir)
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


def policy_of(config: Path | None) -> Policy:
    """What a configuration file says of messages and containers, or the defaults."""
    if config is None:
        return Policy()
    from gateway.config import load  # noqa: PLC0415 - likewise

    return load(config).policy


class _Run:
    """What all documents of one call share; as many are read and under way as there are sandboxes."""

    def __init__(
        self, sandbox: client.Sandbox, settings: client.SandboxSettings, policy: Policy, output_dir: Path
    ) -> None:
        self._sandbox = sandbox
        self._limits = settings.limits
        self._places = asyncio.Semaphore(settings.concurrency)
        self._policy = policy
        self._output_dir = output_dir

    async def convert(self, path: Path) -> Line:
        async with self._places:
            size = await asyncio.to_thread(_size, path)
            if size > self._limits.document_bytes:  # not even read
                return _failed(path, "document_too_large")
            # inside the output directory, so that a finished file is moved: nothing half-written is seen
            with tempfile.TemporaryDirectory(prefix=".lazaretto-", dir=self._output_dir) as directory:
                document = Document("1", safe_filename(path.name), boxed=True)
                bench = self._bench(Path(directory), size)
                await bench.flatten_all([(document, path.read_bytes)])
                return await asyncio.to_thread(self._ended, path, document)

    def _bench(self, directory: Path, size: int) -> Bench:
        budget = Budget.of(self._policy.bounds, size)
        shelf = Shelf(self._limits.output_bytes * 2)  # its encoding for mail apart, which it is not given
        return Bench(self._sandbox, directory, parallel=1, policy=self._policy, budget=budget, shelf=shelf, message="")

    def _ended(self, path: Path, document: Document) -> Line:
        answer = document.answer
        seconds = round(sum(each.answer.seconds for each in document.everything() if each.answer), 3)
        if document.file and isinstance(answer, client.Flattened):
            output = self._output_dir / f"{path.name}.pdf"
            document.file.replace(output)
            return Line(str(path), str(output), answer.found, answer.pages, answer.size, seconds, "flattened", "")
        assembly = Assembly(self._policy, "")
        result = assembly.result(document)
        if isinstance(result, Removed):
            return _failed(path, result.reason, document.found, seconds)
        output = self._output_dir / f"{path.name}{_ENDINGS.get(result.media_type, '.pdf')}"
        output.write_bytes(result.content)
        pages = sum(each.answer.pages for each in document.everything() if isinstance(each.answer, client.Flattened))
        gone = sum(record.outcome == "removed" for record in assembly.records[document.part])
        size = len(result.content)
        return Line(str(path), str(output), document.found, pages, size, seconds, "repacked", "", gone)


_ENDINGS = {"application/zip": ".zip", "message/rfc822": ".eml"}


def _size(path: Path) -> int:
    return path.stat().st_size


def _failed(path: Path, reason: str, found: str = "", seconds: float = 0.0) -> Line:
    return Line(str(path), None, found, 0, 0, seconds, "failed", reason)


async def _convert(run: _Run, files: tuple[Path, ...], *, as_json: bool) -> int:
    """Convert all; returns how many did not come out whole."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("flattening", total=len(files))
        pending = [asyncio.ensure_future(run.convert(path)) for path in files]
        for done in pending:  # in the order given, whichever is ready first
            line = await done
            failed += line.outcome == "failed" or line.removed > 0
            bar.advance(task)
            click.echo(json.dumps(asdict(line)) if as_json else _told(line))
    return failed


def _told(line: Line) -> str:
    if line.outcome == "failed":
        return f"{line.input}: not flattened: {line.reason}" + (f" ({line.mime})" if line.mime else "")
    removed = f", {line.removed} removed" if line.removed else ""
    return f"{line.input} -> {line.output} ({line.pages} pages, {line.seconds:.1f} s{removed})"
