"""The figures, as values and as one table: on a terminal and in build/bench.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS: Final = ("what", "figure", "ratio", "how it was taken")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: a `ratio` to something taken in the same run compares across machines, the figure itself does not."""

    what: str
    figure: str
    ratio: str
    how: str

    def cells(self) -> tuple[str, str, str, str]:
        return self.what, self.figure, self.ratio, self.how


def markdown(figures: Sequence[Figure], machine: str) -> str:
    rows = [HEADINGS, ("---", "---:", "---:", "---"), *(figure.cells() for figure in figures)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return f"{machine}\n\n" + "\n".join(lines) + "\n"


def rich_table(figures: Sequence[Figure]) -> Table:
    table = Table(title="Figures", show_lines=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in ("figure", "ratio") else "left")
    for figure in figures:
        table.add_row(*(Text(cell) for cell in figure.cells()))
    return table
