"""The bench's own code on tiny inputs, without a sandbox; no time is asserted."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sandbox.client import Flattened, NotFlattened, Stages
from tests.bench import memory, pages, plot, throughput, warm
from tests.bench.progress import working
from tests.bench.table import HEADINGS, Figure, markdown, rich_table
from tests.fakes.serving import sink

FIGURES = [Figure("bytes | page", "1,000", "0.50 x", "by hand"), Figure("seconds", "2.00 s", "1", "by clock")]


def test_the_table_in_markdown_has_a_row_a_figure_and_its_cells_cannot_break_it():
    about, empty, heading, rule, *rows = markdown(FIGURES, "a machine").splitlines()
    assert (about, empty) == ("a machine", "")
    assert heading == "| " + " | ".join(HEADINGS) + " |"
    assert rule == "| --- | ---: | ---: | --- |"
    assert rows == ["| bytes \\| page | 1,000 | 0.50 x | by hand |", "| seconds | 2.00 s | 1 | by clock |"]


def test_the_table_on_a_terminal_shows_every_cell():
    shown = io.StringIO()
    Console(file=shown, width=120).print(rich_table(FIGURES))
    assert all(cell in shown.getvalue() for figure in FIGURES for cell in figure.cells())


def taken(name: str, family: str, **seconds: float) -> warm.Taken:
    stages = {way: [Stages(convert=value / 2, encode=value / 2)] for way, value in seconds.items()}
    return warm.Taken(name, family, b"", 1, {way: [value] for way, value in seconds.items()}, stages)


TAKEN = [
    taken("a.docx", "office", warm=0.5, snapshot=0.8, cold=2.0, bare=0.25, first=5.0),
    taken("b.pdf", "pdf", warm=0.2, snapshot=0.4, cold=0.9, bare=0.1, first=1.0),
]


def test_a_latency_is_compared_with_the_other_ways_of_the_same_document():
    figures = {figure.what: figure for figure in warm.latencies(TAKEN, "two documents")}
    assert figures["office document, restored when wanted"].ratio == "0.160 x"
    assert figures["PDF of up to 5 pages, from cold"].ratio == "0.900 x"
    warm_office = [
        figure for figure in warm.latencies(TAKEN, "two documents") if figure.what == "office document, warm"
    ]
    assert [figure.ratio for figure in warm_office] == ["0.100 x, target 0.16", "2.00 x, target 2.5"]


def test_a_document_that_is_not_flattened_alone_is_not_measured_and_one_that_fails_later_stops_the_bench(tmp_path):
    class Failing:
        answers = iter(
            [NotFlattened("corrupt", "", 0.1), Flattened(tmp_path, "", "", 1, 1, 0.1), NotFlattened("x", "", 1.0)]
        )

        def flatten(self, document, output):
            return next(self.answers)

        def rest(self):
            pass

    clock, way = warm.Clock(tmp_path), Failing()
    assert not clock.is_ordinary(way, TAKEN[0])
    assert clock.is_ordinary(way, TAKEN[0])
    with pytest.raises(RuntimeError, match=r"a\.docx by warm: x"):
        clock.time(way, "warm", TAKEN[:1])


def test_the_picture_has_a_bar_for_each_way_of_each_family(tmp_path):
    plot.draw(TAKEN, tmp_path / "bench")
    picture = (tmp_path / "bench.svg").read_text()
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert picture.count('<g id="patch_') >= len(plot.WAYS) * len(warm.STAGES) * len(plot.FAMILIES)


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        ("text", "FlateDecode"),
        ("photograph", "DCTDecode"),
        ("black and white", "CCITTFaxDecode"),
    ],
)
def test_each_kind_of_page_meets_the_encoder_that_it_is_to_measure(kind, encoder):
    figure = pages.figure(kind, *pages.KINDS[kind](pages.DPI))
    assert f"1240 x 1754 as a whole PDF, {encoder}" in figure.how


def test_memory_is_that_of_the_program_alone():
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    [figure] = memory.measure(2)
    assert int(figure.figure.removesuffix(" MB")) < 300


def test_as_many_messages_arrive_as_are_counted():
    with sink() as (mail, port):
        assert throughput.rate(port, 8) > 0
        assert [mail.next()[2] for _ in range(8)] == [throughput.MESSAGE] * 8
        assert mail.got.empty()


def test_work_tells_when_it_is_done_and_not_when_it_failed():
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    with working(console, "counting"):
        pass
    with pytest.raises(ZeroDivisionError), working(console, "dividing"):
        assert 1 / 0
    assert "counting: 0.0 s" in shown.getvalue()
    assert "dividing:" not in shown.getvalue()
