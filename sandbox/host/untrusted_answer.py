"""The only reader of bytes that come out of a sandbox. Every field is checked against its bound before it is used.

Trusts nothing: the writer may be an attacker who owns the guest, gVisor and the outer container. Fails with `Lied`
where the contract is broken, `Died` where the answer stops short, `Refused` with the guest's own reason. Bounds: at
most one page (`Limits.page_pixels` * 3 bytes) and one frame are held; what a page says it will send is checked
before room is made for it. Members of a container are counted and weighed against their `Room`, those that come to
nothing too; their bytes go into a file, and nothing here looks at them. Time is not bounded here: whoever owns the
stream closes it at the deadline.
"""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from sandbox import contract
from sandbox.client import Form, Member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.client import Limits, Room

MEDIA_TYPE = re.compile(rb"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")  # RFC 6838 4.2
RUN = re.compile(r"([0-9]{1,7}) ([0-9]{1,7}) ([0-9]{1,7}) ([0-9]{1,7}) (\S.{0,1023})\Z")  # \d takes all scripts'
BYTES_PER_PIXEL = 3
MILLIPOINTS = 1000
MAX_REPEATS = 64  # a resolution beyond this many pixels a point is nobody's page


class Died(Exception):  # noqa: N818 - an outcome of the other side, not an error of ours
    """The answer stopped without an end mark."""


class Lied(Exception):  # noqa: N818 - likewise
    """The answer broke the contract; the text says how, in our words only."""


class Refused(Exception):  # noqa: N818 - likewise
    """The guest gave a reason of `contract.GUEST_REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text and its box, in points from the page's top left corner; inside the page, left to right."""

    x0: float
    y0: float
    x1: float
    y1: float
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A checked page: sizes in pixels and points, `rgb` of exactly width * height * 3 bytes."""

    width: int
    height: int
    width_points: float
    height_points: float
    rgb: bytearray
    runs: tuple[Run, ...]


class Answer:
    """One sandbox's answer, in order: `prepared` where asked, `hello`, `found`, `opened`, then to their end `pages`.

    Where it was asked to unpack: `container`, and if it is one `members` in place of pages.
    """

    def __init__(self, untrusted: BinaryIO, limits: Limits) -> None:
        self._untrusted = untrusted
        self._limits = limits
        self._pixels = 0
        self._held: tuple[int, int] | None = None  # a frame's header that was read ahead
        self.transfer_seconds = 0.0  # spent on pixels that were drawn already

    def prepared(self) -> None:
        """The sandbox has done what PREPARE asked for. Raises Lied, Died."""
        self._payload(contract.PREPARED, 0)

    def hello(self) -> None:
        """The sandbox is up and speaks this contract. Raises Lied, Died."""
        if self._fixed(contract.HELLO, contract.HELLO_PAYLOAD) != (contract.MAGIC, contract.VERSION):
            raise Lied("not our contract, or another version")

    def found(self) -> str:
        """The media type seen by content. Raises Refused (a document of no bytes has no type), Lied, Died."""
        untrusted_type = self._payload(contract.FOUND, contract.MAX_MEDIA_TYPE)
        if not MEDIA_TYPE.match(untrusted_type):
            raise Lied("media type is not one")
        return untrusted_type.decode("ascii")

    def opened(self) -> None:
        """Wait until the document is open, where the guest says so, or whatever else comes next. Raises Lied, Died."""
        if self._next()[0] == contract.OPENED:
            self._payload(contract.OPENED, 0)

    def pages(self) -> Iterator[Page]:
        """Each page, checked. Ends where the end mark and then the end of the stream came; raises as `found`."""
        count = 0
        while (page := self._page()) is not None:
            count += 1
            if count > self._limits.pages:
                raise Lied("more pages than the bound")
            yield page
        (said,) = self._fixed(contract.END, contract.END_PAYLOAD)
        if said != count or count == 0:
            raise Lied("the end mark counts other pages than came")
        self._nothing_more()

    def container(self) -> Form | None:
        """The form of the container that the document is; None where it is none. Raises Lied, Died."""
        if self._next()[0] != contract.CONTAINER:
            return None
        (untrusted_form,) = self._fixed(contract.CONTAINER, contract.CONTAINER_PAYLOAD)
        if untrusted_form not in contract.FORMS:
            raise Lied("a form of container that is none")
        return Form(untrusted_form)

    def members(self, form: Form, room: Room, file: BinaryIO) -> Iterator[Member]:
        """Each member, its bytes at the end of `file` by then. Ends as `pages`; raises OSError too."""
        count = left = 0
        weighed = _Weighed(room.bytes)
        most = room.members if form is Form.ARCHIVE else min(room.members, 1)
        while self._next()[0] != contract.END:
            name = _name(self._payload(contract.MEMBER, contract.MAX_NAME))
            count += 1
            if count > most:
                raise Lied("more members than the bound")
            member = self._member(name, file, weighed)
            left += bool(member.reason)
            yield member
        (said,) = self._fixed(contract.END, contract.END_PAYLOAD)
        if said != count or count == 0:
            raise Lied("the end mark counts other members than came")
        if left and form is not Form.ARCHIVE:
            raise Lied("a container of one thing, and that is not there")
        self._nothing_more()

    def _member(self, name: str, file: BinaryIO, weighed: _Weighed) -> Member:
        start = file.tell()
        while self._next()[0] == contract.BYTES:
            untrusted_bytes = self._payload(contract.BYTES, min(contract.MAX_CHUNK, weighed.room))
            if not untrusted_bytes:
                raise Lied("a frame of no bytes")
            weighed.room -= len(untrusted_bytes)
            file.write(untrusted_bytes)
        if self._next()[0] != contract.LEFT:
            return Member(name, start, file.tell() - start)
        reason = _reason(self._payload(contract.LEFT, contract.MAX_REASON))
        file.seek(start)
        file.truncate()
        return Member(name, start, 0, reason)

    def _page(self) -> Page | None:
        if self._next()[0] == contract.END:
            return None
        width, height, *untrusted_millipoints = self._fixed(contract.PAGE, contract.PAGE_PAYLOAD)
        self._check_pixels(width, height)
        points = [self._points(side) for side in untrusted_millipoints]
        if width > MAX_REPEATS * max(1, points[0]) or height > MAX_REPEATS * max(1, points[1]):
            raise Lied("more pixels than a page of this size can have")
        rgb = self._rgb(width * height * BYTES_PER_PIXEL)
        runs: tuple[Run, ...] = ()
        if self._next()[0] == contract.TEXT:
            runs = _runs(self._payload(contract.TEXT, self._limits.page_text_bytes), points[0], points[1])
        return Page(width, height, points[0], points[1], rgb, runs)

    def _check_pixels(self, width: int, height: int) -> None:
        if not (width and height) or width * height > self._limits.page_pixels:
            raise Lied("pixels of a page outside the bound")
        self._pixels += width * height
        if self._pixels > self._limits.total_pixels:
            raise Lied("pixels of all pages outside the bound")

    def _points(self, untrusted_millipoints: int) -> float:
        if not 0 < untrusted_millipoints <= self._limits.page_points * MILLIPOINTS:
            raise Lied("page size outside the bound")
        return untrusted_millipoints / MILLIPOINTS

    def _rgb(self, length: int) -> bytearray:
        started = time.monotonic()
        rgb = bytearray(length)  # the length is checked: at most page_pixels * 3
        view = memoryview(rgb)
        filled = 0
        while filled < length:
            size = self._frame(contract.PIXELS, min(contract.MAX_CHUNK, length - filled))
            if size == 0:
                raise Lied("a frame of no pixels")
            self._fill(view[filled : filled + size])
            filled += size
        self.transfer_seconds += time.monotonic() - started
        return rgb

    def _fixed(self, kind: int, layout: str) -> tuple[Any, ...]:
        """A frame whose payload has one length only."""
        length = struct.calcsize(layout)
        payload = self._payload(kind, length)
        if len(payload) != length:
            raise Lied("a frame shorter than its fields")
        return struct.unpack(layout, payload)

    def _payload(self, kind: int, most: int) -> bytes:
        payload = bytearray(self._frame(kind, most))
        self._fill(memoryview(payload))
        return bytes(payload)

    def _frame(self, kind: int, most: int) -> int:
        """Take the header of a frame of `kind`; its checked length is at most `most`."""
        untrusted_kind, length = self._next()
        self._held = None
        if untrusted_kind == contract.FAILED and kind not in (contract.PREPARED, contract.HELLO):
            self._refuse(length)
        if untrusted_kind != kind:
            raise Lied("a frame out of order")
        if length > most:
            raise Lied("a frame longer than its bound")
        return length

    def _refuse(self, length: int) -> None:
        if length > contract.MAX_REASON:
            raise Lied("a reason longer than its bound")
        untrusted_reason = bytearray(length)
        self._fill(memoryview(untrusted_reason))
        reason = _reason(bytes(untrusted_reason))
        self._nothing_more()
        raise Refused(reason)

    def _next(self) -> tuple[int, int]:
        """The next frame's type and length, kept until it is taken."""
        if self._held is None:
            header = bytearray(struct.calcsize(contract.FRAME))
            self._fill(memoryview(header))
            kind, length = struct.unpack(contract.FRAME, header)
            self._held = (kind, length)
        return self._held

    def _fill(self, view: memoryview) -> None:
        filled = 0
        while filled < len(view):
            # BufferedReader and raw pipes both fill in place; 0 is the end of the stream
            got = self._untrusted.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise Died
            filled += got

    def _nothing_more(self) -> None:
        if self._untrusted.read(1):
            raise Lied("bytes after the end mark")


@dataclass(slots=True)
class _Weighed:
    room: int  # bytes that may still come


def _reason(untrusted: bytes) -> str:
    reason = untrusted.decode("ascii", "replace")
    if reason not in contract.GUEST_REASONS:
        raise Lied("a reason that is not the guest's to give")
    return reason


def _name(untrusted: bytes) -> str:
    try:
        return untrusted.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Lied("a name that is not UTF-8") from error


def _runs(untrusted: bytes, width: float, height: float) -> tuple[Run, ...]:
    try:
        lines = untrusted.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise Lied("text is not UTF-8") from error
    if lines.pop() != "":
        raise Lied("text without an end of line")
    return tuple(run for line in lines if (run := _run(line, width, height)) is not None)


def _run(line: str, width: float, height: float) -> Run | None:
    matched = RUN.match(line)
    if matched is None:
        raise Lied("a line of text that is not one")
    x0, y0, x1, y1 = (int(number) / 100 for number in matched.groups()[:4])
    # what lies outside the page or shows no ink is left out: invisible text is only as good as what can be seen
    inside = 0 <= x0 < x1 <= width + 1 and 0 <= y0 < y1 <= height + 1
    text = "".join(character for character in matched[5] if character.isprintable())
    return Run(x0, y0, x1, y1, text) if inside and text else None
