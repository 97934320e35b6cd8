"""The flattened PDF: pixels as they came, page sizes, invisible text, small, deterministic, nothing active."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pymupdf
import pytest

from sandbox.host.encode import encode
from sandbox.host.flatten import BATCH, OutputTooLarge, write_pdf
from sandbox.host.untrusted_answer import Page, Run

RANDOM = np.random.default_rng(1)


def text_like(width: int = 200, height: int = 300) -> np.ndarray:
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[20:40, 20:180] = 0
    pixels[60:61, 20:180] = 119  # a letter's edge
    return pixels


def coloured() -> np.ndarray:
    pixels = text_like()
    pixels[100:120, 20:180] = (0, 102, 204)
    return pixels


def photograph(width: int = 200, height: int = 300) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def many_colours() -> np.ndarray:
    pixels = text_like()
    for shade in range(30):
        pixels[100 + shade, 20:180] = (17 * (shade % 16), 17 * (shade // 2), 255)
        pixels[150 + shade, 20:180, 0] = 17 * RANDOM.integers(0, 16, 160)
        pixels[150 + shade, 20:180, 1] = 17 * RANDOM.integers(0, 16, 160)
    return pixels


def black_and_white() -> np.ndarray:
    pixels = np.full((302, 206, 3), 255, np.uint8)
    pixels[20:40, 20:180] = 0
    return pixels


def page(pixels: np.ndarray, *runs: Run) -> Page:
    height, width, _ = pixels.shape
    return Page(width, height, width / 2, height / 2, bytearray(pixels.tobytes()), runs)


def shown(path: Path, number: int = 0) -> np.ndarray:
    with pymupdf.open(path) as pdf:
        pixmap = pdf[number].get_pixmap(matrix=pymupdf.Matrix(2, 2), alpha=False)
        return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)


@pytest.mark.parametrize(
    ("make", "filter_name"),
    [
        (black_and_white, "CCITTFaxDecode"),
        (text_like, "FlateDecode"),
        (coloured, "FlateDecode"),
        (many_colours, "FlateDecode"),
        (photograph, "DCTDecode"),
        (lambda: np.repeat(photograph()[:, :, :1], 3, axis=2), "DCTDecode"),
    ],
)
def test_each_page_gets_the_encoder_that_suits_it(make, filter_name: str):
    pixels = make()
    height, width, _ = pixels.shape
    assert encode(bytearray(pixels.tobytes()), width, height).filter_name == filter_name


@pytest.mark.parametrize("make", [black_and_white, text_like, coloured, many_colours])
def test_text_and_drawings_come_back_pixel_for_pixel(make, tmp_path: Path):
    path = tmp_path / "out.pdf"
    pixels = make()
    write_pdf([page(pixels)], path, 1 << 20)
    assert np.array_equal(shown(path)[: pixels.shape[0], : pixels.shape[1]], pixels)


def test_black_and_white_is_the_same_each_time_whatever_memory_was_freed_before(tmp_path: Path):
    # MuPDF was once given a pointer into bytes that were gone already: every second page was damaged
    whole = encode(bytearray(black_and_white().tobytes()), 206, 302).data
    for number in range(300):
        freed = [bytes(7000 + number + piece) for piece in range(50)]
        del freed
        assert encode(bytearray(black_and_white().tobytes()), 206, 302).data == whole


def test_a_photograph_comes_back_nearly_as_it_was(tmp_path: Path):
    smooth = np.dstack([np.tile(np.linspace(0, 255, 200, dtype=np.uint8), (300, 1))] * 3).copy()
    smooth[:, :, 1] //= 2
    write_pdf([page(smooth)], tmp_path / "out.pdf", 1 << 20)
    difference = np.abs(shown(tmp_path / "out.pdf").astype(int) - smooth.astype(int))
    assert difference.mean() < 4


def test_the_same_pages_give_the_same_bytes(tmp_path: Path):
    pages = [page(coloured(), Run(10, 10, 50, 20, "same")), page(text_like()), page(photograph())] * 5
    first, second = tmp_path / "first.pdf", tmp_path / "second.pdf"
    write_pdf(pages, first, 1 << 24)
    write_pdf(pages, second, 1 << 24)
    assert first.read_bytes() == second.read_bytes()


def test_pages_beyond_one_batch_are_all_there_in_order(tmp_path: Path):
    count = 2 * BATCH + 3
    pages = (page(text_like(), Run(10, 10, 50, 20, f"page{number}")) for number in range(count))
    assert write_pdf(pages, tmp_path / "out.pdf", 1 << 24) == count
    with pymupdf.open(tmp_path / "out.pdf") as pdf:
        assert [one.get_text().strip() for one in pdf] == [f"page{number}" for number in range(count)]
    assert list(tmp_path.iterdir()) == [tmp_path / "out.pdf"]


def test_text_of_any_script_can_be_searched_where_it_is_shown(tmp_path: Path):
    words = ["Straße", "Привет", "日本語", "𝔘nicode", "שלום", *(chr(0x4E00 + number) for number in range(400))]
    runs = [Run(10, 10 + 20 * number, 60, 20 + 20 * number, word) for number, word in enumerate(words)]
    tall = Page(2, 2, 100.0, 9000.0, bytearray(12), tuple(runs))
    write_pdf([tall], tmp_path / "out.pdf", 1 << 24)
    with pymupdf.open(tmp_path / "out.pdf") as pdf:
        text = pdf[0].get_text()
        assert all(word in text for word in ("Straße", "Привет", "日本語", chr(0x4E00 + 399)))
        box = pdf[0].search_for("Straße")[0]
        assert abs(box.x0 - 10) < 2
        assert abs(box.x1 - 60) < 3


def test_a_second_reader_finds_the_text_too(tmp_path: Path):
    write_pdf(
        [page(text_like(), Run(10, 10, 60, 20, "Größe"), Run(65, 10, 90, 20, "日本"))], tmp_path / "out.pdf", 1 << 24
    )
    done = subprocess.run(["pdftotext", tmp_path / "out.pdf", "-"], check=True, capture_output=True, text=True)
    assert "Größe" in done.stdout
    assert "日本" in done.stdout
    assert done.stderr == ""


def test_nothing_in_the_file_can_act(tmp_path: Path):
    write_pdf([page(photograph(), Run(1, 1, 9, 9, "/JS(app.alert)"))], tmp_path / "out.pdf", 1 << 24)
    with pymupdf.open(tmp_path / "out.pdf") as pdf:
        objects = " ".join(pdf.xref_object(number) for number in range(1, pdf.xref_length()))
    for key in ("/JS", "/JavaScript", "/OpenAction", "/AA", "/Launch", "/URI", "/EmbeddedFile", "/Annots", "/AcroForm"):
        assert key not in objects


def test_a_file_beyond_its_bound_leaves_nothing(tmp_path: Path):
    with pytest.raises(OutputTooLarge):
        write_pdf([page(photograph())] * 3, tmp_path / "out.pdf", 1000)
    assert list(tmp_path.iterdir()) == []


MEASURE = """
import sys
from pathlib import Path
from sandbox.host.flatten import write_pdf
from sandbox.host.untrusted_answer import Page
def pages(count):
    for number in range(count):
        yield Page(1240, 1754, 595.0, 842.0, bytearray(bytes([17 * (number % 16)]) * (3 * 1240 * 1754)), ())
write_pdf(pages(int(sys.argv[1])), Path(sys.argv[2]), 1 << 30)
# not ru_maxrss, which begins with the peak of whoever started this process
print(next(int(line.split()[1]) // 1024 for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))
"""


def test_a_document_of_a_thousand_pages_stays_under_300_megabytes(tmp_path: Path):
    command = [sys.executable, "-c", MEASURE, "1000", tmp_path / "out.pdf"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 300
    with pymupdf.open(tmp_path / "out.pdf") as pdf:
        assert pdf.page_count == 1000


FULL_DISK = """
import resource, sys
from pathlib import Path
from sandbox.host.flatten import write_pdf
from sandbox.host.untrusted_answer import Page
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = bytearray(bytes((n * n * 31 + n) % 251 for n in range(200 * 300 * 3)))
try:
    write_pdf([Page(200, 300, 100.0, 150.0, noise, ())] * 3, Path(sys.argv[1]), 1 << 30)
except OSError as error:
    print("OSError", error)
"""


def test_a_disk_that_takes_no_more_is_an_oserror_and_leaves_nothing(tmp_path: Path):
    command = [sys.executable, "-c", FULL_DISK, tmp_path / "out.pdf"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("OSError"), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
