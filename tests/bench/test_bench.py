"""The bench's own code on tiny inputs, without a sandbox; no time is asserted."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.bench import memory, pages, seconds, throughput
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


def test_each_document_is_taken_once_a_round_and_compared_with_a_sandbox_alone():
    taken = seconds.rounds(lambda document: 1.0 if document == seconds.DOCUMENTS[seconds.ALONE] else 3.0, 2)
    assert {len(runs) for runs in taken.values()} == {2}
    alone, *others = seconds.figures(taken)
    assert alone.figure == "1.00 s"
    assert len(others) == 5
    assert {(figure.figure, figure.ratio) for figure in others} == {("3.00 s", "3.0 x sandbox alone")}


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
