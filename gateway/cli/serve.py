"""`lazaretto serve`: the SMTP daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from gateway import config, daemon, maillog


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings; see config/lazaretto.toml.")
@click.option("--listen", help="HOST:PORT to take mail on, instead of [smtp] listen.")
@click.option("--next-hop", help="HOST:PORT to hand mail to, instead of [relay] next_hop.")
def command(file: Path | None, listen: str | None, next_hop: str | None) -> None:
    """Take mail in over SMTP, make its attachments harmless, and hand it to the next hop."""
    overrides: dict[str, dict[str, str]] = {}
    if listen:
        overrides["smtp"] = {"listen": listen}
    if next_hop:
        overrides["relay"] = {"next_hop": next_hop}
    try:
        settings = config.load(file, overrides)
    except config.ConfigError as error:
        raise click.UsageError(str(error)) from None
    maillog.configure(settings.log)
    try:
        asyncio.run(daemon.serve(settings))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {settings.smtp.listen}: {error.strerror}") from None
