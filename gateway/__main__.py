"""The `lazaretto` command. Subcommands are loaded when called: `filter` does not wait for what `serve` needs."""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

from gateway import __version__


class Subcommands(click.Group):
    """A click group whose commands live in `gateway.cli`, a file each."""

    FILES: ClassVar[dict[str, str]] = {
        "convert": "gateway.cli.convert",
        "doctor": "gateway.cli.doctor",
        "filter": "gateway.cli.filter",
        "image": "gateway.cli.image",
        "sandbox": "gateway.cli.sandbox",
        "serve": "gateway.cli.serve",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, for --help."""
        return sorted(self.FILES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import the file of one subcommand; its click command is called `command`."""
        if cmd_name not in self.FILES:
            return None
        command: click.Command = importlib.import_module(self.FILES[cmd_name]).command
        return command


@click.command(cls=Subcommands)
@click.version_option(__version__, prog_name="lazaretto")
def main() -> None:
    """Lazaretto: a mail gateway that makes attachments harmless."""


if __name__ == "__main__":
    main()
