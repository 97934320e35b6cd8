"""Containers of our own making, a kind a function: small, well-formed, the same bytes each time."""

from __future__ import annotations

import binascii
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

FREE, END_OF_CHAIN, FAT_SECTOR, NOBODY = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
SECTOR, MINI = 512, 64


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def encrypted_zip(members: dict[str, bytes]) -> bytes:
    """A zip whose members say that they want a password; what they hold is noise then."""
    data = bytearray(zipped(members, zipfile.ZIP_STORED))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    return bytes(data)


def tarred(members: dict[str, bytes | str | None], packing: str = "") -> bytes:
    """A tar; None is a directory, text where a symbolic link leads. `packing`: gz, bz2 or xz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return packed(buffer.getvalue(), packing) if packing else buffer.getvalue()


def packed(content: bytes, packing: str, name: str = "") -> bytes:
    """One file, packed; gzip alone can say its name."""
    if packing == "gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(name, "wb", fileobj=buffer, mtime=0) as file:
            file.write(content)
        return buffer.getvalue()
    if packing == "lzma":
        return lzma.compress(content, format=lzma.FORMAT_ALONE)
    return bz2.compress(content) if packing == "bz2" else lzma.compress(content)


def broken(archive: bytes, content: bytes) -> bytes:
    """A zip in which what follows the name of a member is noise."""
    at = archive.index(content) + len(content)
    return archive[:at] + b"\xff" * 8 + archive[at + 8 :]


def applesingle(name: str, content: bytes, start: bytes = b"\x00\x05\x16\x00") -> bytes:
    entries = [(3, name.encode("mac_roman")), (2, bytes(20)), (1, content)]
    head = start + b"\x00\x02\x00\x00" + bytes(16) + struct.pack(">H", len(entries))
    at, table = len(head) + 12 * len(entries), b""
    for kind, data in entries:
        table += struct.pack(">III", kind, at, len(data))
        at += len(data)
    return head + table + b"".join(data for _, data in entries)


def macbinary(name: str, content: bytes) -> bytes:
    head = bytearray(128)
    head[1] = len(name)
    head[2 : 2 + len(name)] = name.encode("mac_roman")
    head[65:73] = b"TEXTttxt"
    head[83:87] = struct.pack(">I", len(content))
    head[122] = head[123] = 129
    head[124:126] = struct.pack(">H", binascii.crc_hqx(bytes(head[:124]), 0))
    return bytes(head) + content + bytes(-len(content) % 128)


BINHEX = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def binhex(name: str, content: bytes) -> bytes:
    head = bytes([len(name)]) + name.encode("mac_roman") + b"\0TEXTttxt\0\0" + struct.pack(">II", len(content), 0)
    checked = [part + struct.pack(">H", binascii.crc_hqx(part, 0)) for part in (head, content, b"")]
    bare = b"".join(checked).replace(b"\x90", b"\x90\x00").replace(b"a" * 8, b"a\x90\x08")
    text = binascii.b2a_base64(bare, newline=False).rstrip(b"=").translate(bytes.maketrans(BASE64, BINHEX))
    lines = b"\r\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return b"(This file must be converted with BinHex 4.0)\r\n\r\n:" + lines + b":\r\n"


MESSAGE = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: A letter\r\nMIME-Version: 1.0\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nWords.\r\n"
)

RICH = rb"""{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fnil\fcharset204 Arial;}}
{\*\htmltag18 <html>}{\*\htmltag50 <body>}\htmlrtf {\htmlrtf0 {\*\htmltag64 <p>}Gr\'fc\u223?e \f1\'cf\f0 {\*\htmltag84 &amp;}\htmlrtf &\htmlrtf0
{\*\htmltag72 </p>}\htmlrtf }\htmlrtf0 {\*\htmltag58 </body>}{\*\htmltag27 </html>}}"""


def rtf_packed(text: bytes) -> bytes:
    """Rich text as Outlook keeps it, without one repetition."""
    body, start = b"", 207  # where the window's first content ends
    tokens = [text[at : at + 8] for at in range(0, len(text), 8)]
    body = b"".join(b"\0" + token for token in tokens[:-1])
    last = tokens[-1]
    end = (start + len(text)) % 4096
    body += bytes([1 << len(last) if len(last) < 8 else 0]) + last
    body += (b"\x01" if len(last) == 8 else b"") + struct.pack(">H", end << 4)
    return struct.pack("<II4sI", len(body) + 12, len(text), b"LZFu", 0) + body


def _padded(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value + bytes(-len(value) % 4)


def mapi_list(properties: dict[tuple[int, int], bytes | int]) -> bytes:
    """Properties as TNEF lists them: (number, type) to a value."""
    out = struct.pack("<I", len(properties))
    for (number, kind), value in properties.items():
        out += struct.pack("<HH", kind, number)
        out += struct.pack("<i", value) if isinstance(value, int) else struct.pack("<I", 1) + _padded(value)
    return out


def _attribute(level: int, kind: int, data: bytes) -> bytes:
    return struct.pack("<BII", level, kind, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def tnef(properties: dict[tuple[int, int], bytes | int], attachments: list[tuple[str, bytes | None, bytes]]) -> bytes:
    """winmail.dat; an attachment is its long name, its bytes, or None and another TNEF that is in it."""
    out = struct.pack("<IH", 0x223E9F78, 1) + _attribute(1, 0x00069007, struct.pack("<II", 1252, 0))
    out += _attribute(1, 0x00069003, mapi_list(properties))
    for name, content, inner in attachments:
        out += _attribute(2, 0x00069002, bytes(14)) + _attribute(2, 0x00018010, name[:8].encode("cp1252") + b"\0")
        more: dict[tuple[int, int], bytes | int] = {(0x3707, 0x001F): name.encode("utf-16-le") + b"\0\0"}
        if content is None:
            more[0x3701, 0x000D] = struct.pack("<IHH8s", 0x00020307, 0, 0, b"\xc0\0\0\0\0\0\0F") + inner
        else:
            out += _attribute(2, 0x0006800F, content)
        out += _attribute(2, 0x00069005, mapi_list(more))
    return out


Tree = dict[str, "bytes | Tree"]


def compound(tree: Tree) -> bytes:
    """A compound file ([MS-CFB]) of these storages and streams; all streams are small, or padded to be large."""
    names = ["Root Entry"]
    entries: list[list[int]] = [[5, NOBODY, NOBODY, NOBODY, 0, 0]]  # type, left, right, child, start, size
    streams: list[tuple[int, bytes]] = []

    def add(tree: Tree, parent: int) -> None:
        before = NOBODY
        for name, content in tree.items():
            number = len(names)
            names.append(name)
            entries.append([1 if isinstance(content, dict) else 2, NOBODY, NOBODY, NOBODY, 0, 0])
            # a list by right siblings is a search tree as readers that walk it see it
            if before == NOBODY:
                entries[parent][3] = number
            else:
                entries[before][2] = number
            before = number
            if isinstance(content, dict):
                add(content, number)
            else:
                streams.append((number, content))

    add(tree, 0)
    mini, chains = b"", []
    large: list[tuple[int, bytes]] = []
    for number, content in streams:
        if len(content) >= 4096:
            large.append((number, content))
            continue
        entries[number][4:] = [len(mini) // MINI if content else END_OF_CHAIN, len(content)]
        first, count = len(mini) // MINI, -(-len(content) // MINI)
        chains += [*range(first + 1, first + count), END_OF_CHAIN] if count else []
        mini += content + bytes(-len(content) % MINI)
    sectors: list[bytes] = []
    fat: list[int] = []

    def place(data: bytes) -> int:
        first, count = len(sectors), -(-len(data) // SECTOR)
        sectors.extend(data[at : at + SECTOR].ljust(SECTOR, b"\0") for at in range(0, len(data), SECTOR))
        fat.extend([*range(first + 1, first + count), END_OF_CHAIN] if count else [])
        return first if count else END_OF_CHAIN

    for number, content in large:
        entries[number][4:] = [place(content), len(content)]
    entries[0][4:] = [place(mini), len(mini)]
    mini_fat = struct.pack(f"<{len(chains)}I", *chains)
    mini_fat += b"\xff" * (-len(mini_fat) % SECTOR)
    mini_start = place(mini_fat)
    directory = b"".join(_entry(name, *entry) for name, entry in zip(names, entries, strict=True))
    directory_start = place(directory + bytes(-len(directory) % SECTOR))
    count = 1
    while count * 128 < len(sectors) + count:
        count += 1
    fat_start = len(sectors)
    table = [*fat, *[FAT_SECTOR] * count]
    table += [FREE] * (count * 128 - len(table))
    head = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6, bytes(6), 0, count, directory_start, 0,
        4096, mini_start, len(mini_fat) // SECTOR, END_OF_CHAIN, 0, fat_start,
    )  # fmt: skip
    head += struct.pack(f"<{count - 1}I", *range(fat_start + 1, fat_start + count)).ljust(432, b"\xff")
    return head[:SECTOR] + b"".join(sectors) + struct.pack(f"<{len(table)}I", *table)


def _entry(name: str, kind: int, left: int, right: int, child: int, start: int, size: int) -> bytes:  # noqa: PLR0917
    encoded = name.encode("utf-16-le") + b"\0\0"
    head = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), kind, 1)
    return head + struct.pack("<III16sIQQIQ", left, right, child, bytes(16), 0, 0, 0, start, size)


def _storage(properties: dict[tuple[int, int], bytes | int], header: int) -> Tree:
    fixed = b"".join(
        struct.pack("<HHIi4x", kind, number, 6, value)
        for (number, kind), value in properties.items()
        if isinstance(value, int)
    )
    tree: Tree = {"__properties_version1.0": bytes(header) + fixed}
    for (number, kind), value in properties.items():
        if isinstance(value, bytes):
            tree[f"__substg1.0_{number:04X}{kind:04X}"] = value
    return tree


def text(number: int, words: str) -> dict[tuple[int, int], bytes | int]:
    return {(number, 0x001F): words.encode("utf-16-le")}


def item(subject: str, words: str, attachments: list[tuple[str, bytes | Tree]], header: int = 32) -> Tree:
    """An Outlook message; an attachment is bytes, or another item."""
    tree = _storage(
        text(0x0037, subject) | text(0x1000, words) | text(0x0C1A, "Änn") | text(0x5D01, "ann@example.org"), header
    )
    recipient = text(0x3001, "Bob") | text(0x39FE, "bob@example.net") | {(0x0C15, 0x0003): 1}
    tree["__recip_version1.0_#00000000"] = _storage(recipient, 8)
    for number, (name, content) in enumerate(attachments):
        storage = _storage(text(0x3707, name), 8)
        storage["__substg1.0_3701000D" if isinstance(content, dict) else "__substg1.0_37010102"] = content
        tree[f"__attach_version1.0_#{number:08X}"] = storage
    return tree


def msg() -> bytes:
    """A letter with a file, and another letter in it that has one too."""
    inner = item("Inner", "Inner words.", [("inner.pdf", b"%PDF-1.4 inner")], header=24)
    return compound(item("Grüße", "Outer words.", [("größe.pdf", b"%PDF-1.4 outer" * 400), ("Inner", inner)]))


def winmail() -> bytes:
    """The same as TNEF, its body HTML in the disguise of rich text."""
    inner = tnef({(0x1000, 0x001F): "Inner words.".encode("utf-16-le")}, [("inner.pdf", b"%PDF-1.4 inner", b"")])
    return tnef(
        {(0x1009, 0x0102): rtf_packed(RICH)},
        [("größe der Sache.pdf", b"%PDF-1.4 outer", b""), ("Inner", None, inner)],
    )


def cabinet(members: dict[str, bytes]) -> bytes:
    """Microsoft's ([MS-CAB]), not compressed: one folder, a block of data for each 32 KiB."""
    data = b"".join(members.values())
    blocks = [data[at : at + 0x8000] for at in range(0, len(data), 0x8000)]
    stored = b"".join(struct.pack("<IHH", 0, len(block), len(block)) + block for block in blocks)  # 0: no checksum
    files, start = b"", 0
    for name, content in members.items():
        files += struct.pack("<IIHHHH", len(content), start, 0, 0x5C21, 0, 0x80) + name.encode() + b"\0"
        start += len(content)
    begin = 36 + 8
    head = struct.pack("<4sIIIII", b"MSCF", 0, begin + len(files) + len(stored), 0, begin, 0)
    head += struct.pack("<BBHHHHH", 3, 1, 1, len(members), 0, 0, 0)
    return head + struct.pack("<IHH", begin + len(files), len(blocks), 0) + files + stored


def lha(members: dict[str, bytes]) -> bytes:
    """LHA as it was first (headers of level 0), stored (-lh0-); names in Shift JIS."""
    archive = b""
    for name, content in members.items():
        path = name.encode("cp932")
        rest = struct.pack("<5sIIIBBB", b"-lh0-", len(content), len(content), 0x5C210000, 0x20, 0, len(path)) + path
        rest += struct.pack("<H", _crc16(content))
        archive += bytes([len(rest), sum(rest) & 0xFF]) + rest + content
    return archive + b"\0"


def _crc16(data: bytes) -> int:
    """CRC-16/ARC, which LHA uses."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def rar(members: dict[str, bytes]) -> bytes:
    """RAR 5, stored (https://www.rarlab.com/technote.htm)."""
    archive = b"Rar!\x1a\x07\x01\x00" + _rar_block(1, 0, b"\0")
    for name, content in members.items():
        path = name.encode()
        fields = b"\4" + _vint(len(content)) + _vint(0x20) + struct.pack("<I", binascii.crc32(content)) + b"\0\1"
        archive += _rar_block(2, 2, fields + _vint(len(path)) + path, len(content)) + content
    return archive + _rar_block(5, 0, b"\0")


def _rar_block(kind: int, flags: int, fields: bytes, data: int = 0) -> bytes:
    header = _vint(kind) + _vint(flags) + (_vint(data) if flags & 2 else b"") + fields
    whole = _vint(len(header)) + header
    return struct.pack("<I", binascii.crc32(whole)) + whole


def _vint(number: int) -> bytes:
    low = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes(value | 0x80 for value in low[:-1]) + bytes(low[-1:])


def sevenzip(members: dict[str, bytes]) -> bytes:
    """7z, stored: each file a folder of its own by the method "copy" (7zFormat.txt)."""
    sizes = b"".join(_number(len(content)) for content in members.values())
    count = _number(len(members))
    packed_info = b"\6" + _number(0) + count + b"\x09" + sizes + b"\0"
    folders = b"\7\x0b" + count + b"\0" + b"\x01\x01\x00" * len(members) + b"\x0c" + sizes
    crcs = b"\x0a\1" + b"".join(struct.pack("<I", binascii.crc32(content)) for content in members.values())
    names = b"\0" + b"".join(f"{name}\0".encode("utf-16-le") for name in members)
    files = b"\5" + count + b"\x11" + _number(len(names)) + names + b"\0"
    header = b"\1\4" + packed_info + folders + b"\0\x08" + crcs + b"\0\0" + files + b"\0"
    data = b"".join(members.values())
    start = struct.pack("<QQI", len(data), len(header), binascii.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", binascii.crc32(start)) + start + data + header


def _number(number: int) -> bytes:
    """7z's: as many leading ones as bytes follow."""
    if number < 0x80:
        return bytes([number])
    return b"\xc0" + struct.pack("<H", number) if number < 1 << 16 else b"\xe0" + number.to_bytes(3, "little")


def cpio(members: dict[str, bytes]) -> bytes:
    """The "new" portable format, cpio -H newc."""
    archive = b""
    for name, content in [*members.items(), ("TRAILER!!!", b"")]:
        path = name.encode() + b"\0"
        fields = (0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + "".join(f"{value:08X}" for value in fields).encode() + path
        archive += head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
    return archive


def ar(members: dict[str, bytes]) -> bytes:
    """What ar makes of files with short names."""
    archive = b"!<arch>\n"
    for name, content in members.items():
        head = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += head + content + b"\n" * (len(content) % 2)
    return archive
