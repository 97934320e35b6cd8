"""`lazaretto serve`: the SMTP daemon."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import click

from gateway import config, daemon, maillog


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings; see config/lazaretto.toml.")
@click.option("--listen", multiple=True, help="HOST:PORT to take mail on, instead of [smtp] listen.")
@click.option("--next-hop", multiple=True, help="HOST:PORT to hand mail to, instead of [relay] next_hop.")
@click.option("--sandbox", default="", help="Where the sandbox service is, instead of [sandbox.service] address.")
def command(file: Path | None, listen: tuple[str, ...], next_hop: tuple[str, ...], sandbox: str) -> None:
    """Take mail in over SMTP or LMTP, make its attachments harmless, and hand it to the next hop.

    Both addresses may be given more than once, and as lmtp:HOST:PORT or unix:/PATH for LMTP.
    """
    overrides: dict[str, dict[str, tuple[str, ...]]] = {}
    if listen:
        overrides["smtp"] = {"listen": listen}
    if next_hop:
        overrides["relay"] = {"next_hop": next_hop}
    try:
        settings = config.load(file, overrides)
        at = dataclasses.replace(settings.sandbox.service, address=sandbox or settings.sandbox.service.address)
    except (config.ConfigError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    settings = dataclasses.replace(settings, sandbox=dataclasses.replace(settings.sandbox, service=at))
    maillog.configure(settings.log)
    try:
        asyncio.run(daemon.serve(settings, file))
    except config.ConfigError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot listen on {', '.join(settings.smtp.listen)}: {error.strerror}") from None
