"""`lazaretto sandbox`: the sandbox service. It may start containers; the gateway that asks it need not."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import click

from gateway import config, maillog, service
from sandbox import client


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings; see config/lazaretto.toml.")
@click.option("--listen", default="", help="unix:/PATH or tls:HOST:PORT, instead of [sandbox.service] listen.")
@click.option("--follow-stdin", is_flag=True, help="End when standard input ends: `serve` ties its child to itself so.")
def command(file: Path | None, listen: str, *, follow_stdin: bool) -> None:
    """Flatten the documents of gateways that ask over a Unix socket or mutual TLS, or over systemd's sockets."""
    try:
        settings = config.load(file)
        at = dataclasses.replace(settings.sandbox.service, listen=listen or settings.sandbox.service.listen)
    except (config.ConfigError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    settings = dataclasses.replace(settings, sandbox=dataclasses.replace(settings.sandbox, service=at))
    maillog.configure(settings.log)
    try:
        asyncio.run(service.run(settings, listen, follow_stdin=follow_stdin))
    except OSError as error:
        raise click.ClickException(f"cannot listen: {error.strerror or error}") from None
    except client.SandboxUnavailableError as error:
        raise click.ClickException(str(error)) from None
