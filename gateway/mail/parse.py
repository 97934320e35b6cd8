"""Bytes to a tree of parts with their spans (RFC 5322, RFC 2045, RFC 2046). Pure; never raises, whatever the bytes.

One pass from the first byte to the last: a stack holds the multiparts that are open, and the next line that could be a
delimiter of any of them is searched for. Where parsers disagree the most inclusive reading is taken (every line that
some parser would take for a delimiter parts the message) and the ambiguity is noted: the message is written anew then.

Bounds are in `tree.Bounds`. What lies over one is a leaf with `limit` set, which `plan` never lets pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.mail import ambiguity, decode
from gateway.mail.fields import TEXT, Fields, read_fields
from gateway.mail.header_block import Block, read_block
from gateway.mail.tree import Bounds, Kind, Message, Part, Span

_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")
_BLANKS = b"\0\t\v\f "
_PREFIX = 8  # bytes of a boundary that are searched for; the line found is compared in full
_LINE_LOOK = 2048  # bytes of a line that are compared with boundaries
_HEADER_AHEAD = re.compile(rb"(?i)(?:\r\n|\n|\r)[\x00-\x20]*(?:content-|mime-|\Z)")
_GUESS = re.compile(rb"(?:\A|[\r\n])--([^\r\n]{1,70})")
_TWO_DASHES = b"--"
_LF = 0x0A


@dataclass(slots=True)
class _Node:
    """A part under construction."""

    block: Block
    fields: Fields
    depth: int
    kind: Kind
    limit: str = ""
    end: int = 0
    children: list[_Node] = field(default_factory=list)
    inner: Part | None = None  # read from the decoded body, where a container had a transfer encoding


@dataclass(slots=True)
class _Spent:
    """What was used up of the bounds that hold for the whole message."""

    parts: int = 0
    header_lines: int = 0
    delimiters: int = 0


@dataclass(slots=True)
class _Frame:
    """An open multipart: its boundaries, and the nodes opened since its last delimiter."""

    node: _Node
    boundaries: list[bytes]
    search: re.Pattern[bytes]
    last: int  # end of its last delimiter line
    started: bool = False
    closed: bool = False
    open: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Delimiter:
    """A line that parts: where the body before it ends, where the line ends, and whose it is."""

    body_end: int
    after: int
    frame: int
    closing: bool


def parse(raw: bytes, bounds: Bounds | None = None) -> Message:
    """Read a message. Never raises; linear in the length of `raw`."""
    notes = ambiguity.of_bytes(raw)
    parser = _Parser(raw, bounds or Bounds(), notes, _Spent())
    root = parser.run(0)
    if (
        ambiguity.HEADER_SEPARATOR in notes
        and root.body_span.end == root.body_span.start == len(raw)
        and not parser.cut
    ):
        notes.discard(ambiguity.HEADER_SEPARATOR)  # RFC 5322 section 3.5: a message may be a header alone
    return Message(raw, root, tuple(sorted(notes)))


class _Parser:
    """Reads one source; sources inside transfer encodings get a parser of their own and share notes and counts."""

    def __init__(self, raw: bytes, bounds: Bounds, notes: set[str], spent: _Spent) -> None:
        self.raw = raw
        self.bounds = bounds
        self.notes = notes
        self.spent = spent
        self.stack: list[_Frame] = []
        self.cut = False  # some header but the root's had no separator
        self.position = 0

    def run(self, depth: int, path: str = "") -> Part:
        opened: list[_Node] = []
        root = self._open(0, TEXT, depth, opened)
        while self.stack:
            found = self._next_delimiter()
            if not found:
                break
            self._take(found)
        self._close(0, len(self.raw))
        for node in opened:
            node.end = len(self.raw)
        return self._freeze(root, path, root_of_message=True)

    # opening parts

    def _open(self, start: int, default: str, depth: int, opened: list[_Node]) -> _Node:
        """Open the part at `start`, and the messages right inside it; multiparts are pushed."""
        node = self._read(start, default, depth)
        top = node
        opened.append(node)
        while node.kind is Kind.MESSAGE and set(node.fields.encodings) == {decode.IDENTITY}:
            child = self._read(self.position, TEXT, node.depth + 1)
            node.children.append(child)
            opened.append(child)
            node = child
        return top

    def _read(self, start: int, default: str, depth: int) -> _Node:
        self.spent.parts += 1
        lines_left = max(self.bounds.header_lines - self.spent.header_lines, 1)
        block = read_block(self.raw, start, self.bounds, is_delimiter=self._is_delimiter, lines_left=lines_left)
        self.spent.header_lines += block.lines
        if start and ambiguity.HEADER_SEPARATOR in block.notes:
            self.cut = True
        fields = read_fields(block.headers, self.bounds, default)
        if default != TEXT and not any(header.name == "content-type" for header in block.headers):
            self.notes.add(ambiguity.DEFAULT_TYPE)
        if default != TEXT and not block.headers:  # RFC 2046 section 5.1.5: the message of a digest follows
            block.notes.discard(ambiguity.HEADER_SEPARATOR)
        self.notes |= block.notes | fields.notes
        self.position = block.body
        kind = fields.kind
        limit = block.limit
        if kind is not Kind.LEAF and depth + 1 >= self.bounds.depth:
            limit = limit or ambiguity.TOO_DEEP
        if self.spent.parts >= self.bounds.parts and kind is not Kind.LEAF:
            limit = limit or ambiguity.TOO_MANY_PARTS
        if limit:
            self.notes.add(limit)
            kind = Kind.LEAF
        node = _Node(block, fields, depth, kind, limit)
        if kind is Kind.MULTIPART:
            self._push(node)
        elif kind is Kind.MESSAGE and set(fields.encodings) != {decode.IDENTITY}:
            self.notes.add(ambiguity.ENCODED_CONTAINER)
        return node

    def _push(self, node: _Node) -> None:
        if set(node.fields.encodings) != {decode.IDENTITY}:
            self.notes.add(ambiguity.ENCODED_CONTAINER)
        boundaries = node.fields.boundaries
        if not boundaries:
            guess = _GUESS.search(self.raw, max(node.block.body - 1, 0))
            boundaries = [guess[1].rstrip()] if guess else []
            node.fields.boundaries = boundaries
        if not boundaries:
            return
        outer = [b for frame in self.stack for b in frame.boundaries]
        if any(a.startswith(b) or b.startswith(a) for a in outer for b in boundaries):
            self.notes.add(ambiguity.BOUNDARY_PREFIX)
        search = _pattern(outer + boundaries)
        self.stack.append(_Frame(node, boundaries, search, node.block.body))

    # delimiters

    def _next_delimiter(self) -> _Delimiter | None:
        """The next line that parts, at or behind the position."""
        search = self.stack[-1].search
        at = max(self.position - 1, 0)
        while match := search.search(self.raw, at):
            self.spent.delimiters += 1
            line_start = match.start() + 1
            end, after = self._line_end(line_start)
            found = self._matched(line_start, end, after)
            if self.spent.delimiters > self.bounds.delimiters:
                self.spent.parts = self.bounds.parts  # the rest is not read
                found = found or (False, len(self.stack) - 1)
            if found:
                begin = match.start() - (self.raw[match.start() - 1 : match.start() + 1] == b"\r\n")
                return _Delimiter(max(begin, self.position), after, frame=found[1], closing=found[0])
            at = max(end, match.start() + 1)
        return None

    def _line_end(self, start: int) -> tuple[int, int]:
        """Where the line's bytes end, and where its line end does."""
        found = _LINE_END.search(self.raw, start)
        return found.span() if found else (len(self.raw), len(self.raw))

    def _is_delimiter(self, start: int) -> bool:
        if not self.stack:
            return False
        return self._matched(start, *self._line_end(start)) is not None

    def _matched(self, start: int, end: int, after: int) -> tuple[bool, int] | None:
        """Whose delimiter the line is (closing?, index of the frame); the innermost exact match first."""
        line = self.raw[start : min(end, start + _LINE_LOOK)]
        exact = [
            (line == _TWO_DASHES + boundary + _TWO_DASHES, index)
            for index in range(len(self.stack) - 1, -1, -1)
            for boundary in self.stack[index].boundaries
            if line in (_TWO_DASHES + boundary, _TWO_DASHES + boundary + _TWO_DASHES)
        ]
        if exact:
            if len({index for _, index in exact}) > 1:
                self.notes.add(ambiguity.BOUNDARY_PREFIX)
            return exact[0]
        return self._like(line, end, after)

    def _like(self, line: bytes, end: int, after: int) -> tuple[bool, int] | None:
        """A line that only some parsers take for a delimiter: the longest boundary it begins with counts."""
        core = line.strip(_BLANKS).lstrip(b"-").lower()
        best: tuple[int, int, bytes] | None = None
        for index in range(len(self.stack) - 1, -1, -1):
            for boundary in self.stack[index].boundaries:
                wanted = boundary.lstrip(b"-").lower().strip(_BLANKS)
                if wanted and core.startswith(wanted) and (best is None or len(wanted) > best[0]):
                    best = (len(wanted), index, core[len(wanted) :])
        if best is None:
            return None
        self.notes.add(ambiguity.DELIMITER)
        rest = best[2].strip(_BLANKS)
        if rest in (b"", b"-", b"--") or rest.startswith(b"--") or self._header_ahead(end, after):
            return rest.startswith(b"-"), best[1]
        return None

    def _header_ahead(self, end: int, after: int) -> bool:
        """True where a MIME field follows: then the line parts for whoever compares beginnings only."""
        return bool(_HEADER_AHEAD.match(self.raw, end, min(len(self.raw), after + 64)))

    def _take(self, found: _Delimiter) -> None:
        """Close what is open above the delimiter's multipart, and open its next part."""
        self._close(found.frame + 1, found.body_end)
        frame = self.stack[found.frame]
        for node in frame.open:
            node.end = found.body_end
        frame.open = []
        outside = self.raw[frame.last : found.body_end]
        if not frame.started and not ambiguity.is_remark(outside):
            self.notes.add(ambiguity.PREAMBLE)
        if frame.closed:
            self.notes.add(ambiguity.EPILOGUE)
        self.position = frame.last = found.after
        frame.started = True
        if found.closing:
            frame.closed = True
            return
        if self.spent.parts >= self.bounds.parts:
            self._overflow(frame, found.after)
            return
        digest = "multipart/digest" in frame.node.fields.types
        child = self._open(found.after, "message/rfc822" if digest else TEXT, frame.node.depth + 1, frame.open)
        frame.node.children.append(child)

    def _overflow(self, frame: _Frame, start: int) -> None:
        """Too many parts: all that follows becomes one leaf, in the last one's place, and the search ends."""
        self.notes.add(ambiguity.TOO_MANY_PARTS)
        frame.closed = True  # what was not read on cannot be missing an end
        if frame.node.children and frame.node.children[-1].kind is Kind.LEAF:
            start = frame.node.children.pop().block.start
        block = Block(start, end=start, body=start, limit=ambiguity.TOO_MANY_PARTS)
        fields = read_fields([], self.bounds)
        node = _Node(block, fields, frame.node.depth + 1, Kind.LEAF, ambiguity.TOO_MANY_PARTS, end=len(self.raw))
        frame.node.children.append(node)
        self._close(0, len(self.raw))

    def _close(self, level: int, end: int) -> None:
        """Close every multipart from `level` up; each ends at `end`."""
        while len(self.stack) > level:
            frame = self.stack.pop()
            for node in frame.open:
                node.end = end
            frame.node.end = end
            self._look_inside(frame)
            if not frame.started:
                continue
            if not frame.closed:
                self.notes.add(ambiguity.NOT_CLOSED)
            elif not ambiguity.is_remark(self.raw[frame.last : end]):
                self.notes.add(ambiguity.EPILOGUE)

    def _look_inside(self, frame: _Frame) -> None:
        """Note delimiters inside a line, which begin one for who cuts long lines, and such as lack their dashes."""
        if self.notes:
            return  # it will be written anew anyhow
        start, end = frame.node.block.body, frame.node.end
        for boundary in frame.boundaries:
            mark = _TWO_DASHES + boundary
            at = self.raw.find(mark, start, end)
            while at >= 0 and self.raw[at - 1] == _LF:
                at = self.raw.find(mark, at + len(mark), end)
            if at >= 0 or self.raw.find(b"\n" + boundary + b"\r", start, end) >= 0:
                self.notes.add(ambiguity.DELIMITER)

    # freezing

    def _freeze(self, node: _Node, path: str, *, root_of_message: bool) -> Part:
        if node.kind is Kind.MULTIPART and not node.children:
            inner = self._encoded_multipart(node)
            if inner is None:
                self.notes.add(ambiguity.NO_PARTS)
                node.kind = Kind.LEAF
            else:
                node.inner = inner
        own = self._own_path(node, path, root_of_message=root_of_message)
        body = Span(min(node.block.body, node.end), node.end)
        fields = node.fields
        children = self._children(node, path if node.kind is Kind.MULTIPART else own, body)
        if node.kind is Kind.LEAF and not node.limit:
            for encoding in fields.encodings:
                self.notes |= decode.oddities(body.of(self.raw), encoding)
        return Part(
            path=own,
            kind=node.kind,
            source=self.raw,
            span=Span(node.block.start, node.end),
            header_span=Span(node.block.start, min(node.block.end, node.end)),
            body_span=body,
            headers=tuple(node.block.headers),
            content_type=fields.types[0]
            if len(fields.types) == 1 or node.kind is Kind.LEAF
            else _container(fields, node),
            types=tuple(fields.types),
            params=fields.params,
            encoding=fields.encodings[0],
            encodings=tuple(fields.encodings),
            disposition=fields.disposition,
            untrusted_filename=fields.filenames[0] if fields.filenames else "",
            content_id=fields.content_id,
            boundary=fields.boundaries[0] if fields.boundaries else b"",
            children=children,
            limit=node.limit,
        )

    @staticmethod
    def _own_path(node: _Node, path: str, *, root_of_message: bool) -> str:
        if not root_of_message:
            return path
        if node.kind is Kind.MULTIPART:
            return f"{path}.TEXT" if path else "TEXT"
        return f"{path}.1" if path else "1"

    def _children(self, node: _Node, path: str, body: Span) -> tuple[Part, ...]:
        if node.inner is not None:
            return node.inner.children
        if node.kind is Kind.MESSAGE and not node.children:
            return (self._encoded_message(node, path, body),)
        if node.kind is Kind.MESSAGE:
            return (self._freeze(node.children[0], path, root_of_message=True),)
        prefix = f"{path}." if path else ""
        return tuple(
            self._freeze(child, f"{prefix}{number}", root_of_message=False)
            for number, child in enumerate(node.children, 1)
        )

    def _encoded_message(self, node: _Node, path: str, body: Span) -> Part:
        """Read the message inside a transfer encoding that it should not have (RFC 2046 section 5.2.1)."""
        encoding = next((e for e in node.fields.encodings if e != decode.IDENTITY), decode.IDENTITY)
        content, notes = decode.decode(body.of(self.raw), encoding)
        self.notes |= notes | ambiguity.of_bytes(content)
        return _Parser(content, self.bounds, self.notes, self.spent).run(node.depth + 1, path)

    def _encoded_multipart(self, node: _Node) -> Part | None:
        """Read a multipart whose delimiters are inside a transfer encoding (RFC 2045 section 6.4 forbids it)."""
        encodings = [e for e in node.fields.encodings if e not in (decode.IDENTITY, decode.UNKNOWN)]
        if not encodings or node.depth + 1 >= self.bounds.depth:
            return None
        content, notes = decode.decode(self.raw[node.block.body : node.end], encodings[0])
        self.notes |= notes | ambiguity.of_bytes(content)
        fields = [b"Content-Type: " + h.value for h in node.block.headers if h.name == "content-type"]
        parser = _Parser(b"\r\n".join([*fields, b"", content]), self.bounds, self.notes, self.spent)
        part = parser.run(node.depth + 1, "")
        return part if part.kind is Kind.MULTIPART else None


def _container(fields: Fields, node: _Node) -> str:
    """Of several types, the one that made the part a container."""
    prefix = "multipart/" if node.kind is Kind.MULTIPART else "message/"
    return next((name for name in fields.types if name.startswith(prefix)), fields.types[0])


def _pattern(boundaries: list[bytes]) -> re.Pattern[bytes]:
    """Finds lines that begin like a delimiter of any of these boundaries, give or take case, dashes and blanks."""
    cores = {(boundary.lstrip(b"-").strip(_BLANKS) or b"--")[:_PREFIX] for boundary in boundaries}
    longest_first = sorted(cores, key=lambda core: (-len(core), core))
    return re.compile(rb"(?i)[\r\n][\x00\t\v\f ]*-+(?:" + b"|".join(map(re.escape, longest_first)) + rb")")
