"""Where a document's time goes, by each way, as a picture: build/bench.svg and build/bench.png."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import matplotlib as mpl

mpl.use("Agg")  # no display
from matplotlib import pyplot as plt

from tests.bench import warm

if TYPE_CHECKING:
    from pathlib import Path

WAYS: Final = {
    "first": "Podman, soffice, cold",
    "cold": "cold",
    "snapshot": "restored when wanted",
    "warm": "warm (pool)",
    "bare": "no sandbox, warm",
}
FAMILIES: Final = {"office": "office documents", "pdf": "PDF"}


def draw(taken: list[warm.Taken], place: Path) -> None:
    """One bar a way, parted by stages; `place` without an ending."""
    figure, panes = plt.subplots(len(FAMILIES), 1, figsize=(9, 5.5), layout="constrained")
    for pane, (family, title) in zip(panes, FAMILIES.items(), strict=True):
        spent = {way: warm.stages(taken, way, family) for way in WAYS}
        left = [0.0] * len(WAYS)
        for stage in warm.STAGES:
            widths = [spent[way][stage] for way in WAYS]
            pane.barh(list(WAYS.values()), widths, left=left, label=stage)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for row, whole in enumerate(left):
            pane.text(whole, row, f" {whole:.2f} s", va="center", fontsize=8)
        pane.invert_yaxis()
        pane.margins(x=0.1)
        pane.set_title(f"{title}: mean seconds, by stage", fontsize=10, loc="left")
        pane.tick_params(labelsize=8)
    panes[0].legend(fontsize=8, loc="lower right")
    for ending in ("svg", "png"):
        figure.savefig(place.with_suffix(f".{ending}"), dpi=110)
    plt.close(figure)
