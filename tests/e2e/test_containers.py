"""What is in a container, found inside the real double sandbox: names, bytes, reasons, and the room that is kept."""

from __future__ import annotations

import email
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest

from sandbox import contract
from sandbox.client import Flattened, Form, Limits, NotFlattened, Room, SandboxSettings, Unpacked, Want
from sandbox.host.service import LocalSandbox
from tests.corpus import containers as made
from tests.corpus import documents
from tests.fakes.service import serving_door

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
NEEDS_CORPUS = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the checkout")
ROOM = Room(100, 50_000_000)
MIB = 1 << 20


@pytest.fixture(scope="module")
def sandbox():
    opened = LocalSandbox.open(replace(SandboxSettings(), limits=replace(Limits(), seconds=60.0, page_seconds=30.0)))
    yield opened
    opened.close()


@pytest.fixture
def unpack(sandbox: LocalSandbox, tmp_path: Path):
    """What comes of a document: the form and (name, bytes or reason) of each member, or why nothing did."""

    def unpack(document: bytes, room: Room = ROOM):
        output = tmp_path / "members"
        result = sandbox.flatten_now(document, output, room=room)
        if isinstance(result, NotFlattened):
            assert not output.exists()
            return result.reason
        assert isinstance(result, Unpacked), result
        data = output.read_bytes()
        assert len(data) == result.size
        return result.form, [
            (one.untrusted_name, one.reason or data[one.start : one.start + one.size]) for one in result.members
        ]

    return unpack


FILES = {"a.txt": b"first", "folder/b.pdf": b"second" * 1000, "größe.txt": b""}
LONG = bytes(range(256))
SOLID = {"a.txt": b"first", "b.pdf": b"second" * 10_000}  # none that is empty: such members are written otherwise
SHORT = {"a.txt": b"first", "b.pdf": b"second" * 1000}
AS_READ = list(FILES.items())
ARCHIVES = {
    "zip": (made.zipped(FILES), AS_READ),
    "zip, stored": (made.zipped(FILES, 0), AS_READ),
    "zip by bzip2": (made.zipped(FILES, 12), AS_READ),
    "zip by lzma": (made.zipped({"a": b"first"}, 14), [("a", b"first")]),
    "tar": (made.tarred(FILES), AS_READ),
    "tar.gz": (made.tarred(FILES, "gz"), AS_READ),
    "tar.bz2": (made.tarred(FILES, "bz2"), AS_READ),
    "tar.xz": (made.tarred(FILES, "xz"), AS_READ),
    "tar.lzma": (made.tarred(FILES, "lzma"), AS_READ),
    "7z": (made.sevenzip(SOLID), list(SOLID.items())),
    "rar": (made.rar(FILES), AS_READ),
    "cab": (made.cabinet(SOLID), list(SOLID.items())),
    "lha": (made.lha(SHORT), list(SHORT.items())),
    "lha with a Japanese name": (made.lha({"報告.txt": b"x", "b": b"y"}), [("報告.txt", b"x"), ("b", b"y")]),
    "cpio": (made.cpio(FILES), AS_READ),
    "ar": (made.ar(SHORT), list(SHORT.items())),
    "gz with a name": (made.packed(b"words", "gz", "letter.txt"), [("letter.txt", b"words")]),
    "gz without": (made.packed(b"words", "gz"), [("", b"words")]),
    "bz2": (made.packed(b"words", "bz2"), [("", b"words")]),
    "xz": (made.packed(b"words", "xz"), [("", b"words")]),
    "packed twice": (
        made.packed(made.packed(b"words", "gz", "a"), "gz", "b"),
        [("b", made.packed(b"words", "gz", "a"))],
    ),
    "a zip in a zip": (
        made.zipped({"in.zip": made.zipped({"x": b"1"})}),
        [("in.zip", made.zipped({"x": b"1"}))],
    ),
    "a link and a directory": (
        made.tarred({"d": None, "d/link": "/etc/passwd", "d/file": b"x"}),
        [("d/link", contract.UNKNOWN_TYPE), ("d/file", b"x")],
    ),
    "zeros, which a tar could begin with": (made.packed(bytes(2000), "xz"), [("", bytes(2000))]),
    "one that is broken": (
        made.broken(made.zipped({"one": LONG, "two": LONG, "three": LONG}), b"two"),
        [("one", LONG), ("two", contract.CORRUPT), ("three", LONG)],
    ),
    "what only looks like a path": (
        made.zipped({"../../etc/cron.d/x": b"1", "/abs": b"2", "C:\\x": b"3"}),
        [("../../etc/cron.d/x", b"1"), ("/abs", b"2"), ("C:/x", b"3")],
    ),
    "two of one name": (made.tarred({"a": b"1"})[:1024] + made.tarred({"a": b"2"}), [("a", b"1"), ("a", b"2")]),
    "mbox": (
        b"From ann Mon Jan  1 00:00:00 2024\n" + made.MESSAGE.replace(b"\r", b"") * 1
        + b"\nFrom bob Mon Jan  1 00:00:00 2024\n" + made.MESSAGE.replace(b"\r", b""),
        [
            ("message-1.eml", made.MESSAGE.replace(b"\r", b"") + b"\n"),
            ("message-2.eml", made.MESSAGE.replace(b"\r", b"")),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_answered_with_its_members(name: str, unpack):
    document, members = ARCHIVES[name]
    assert unpack(document) == (Form.ARCHIVE, members)


REFUSED = {
    "an empty zip": (made.zipped({}), contract.EMPTY),
    "a zip of directories": (made.zipped({"a/": b"", "b/": b""}), contract.EMPTY),
    "all want a password": (made.encrypted_zip({"a": b"1" * 20, "b": b"2" * 20}), contract.ENCRYPTED),
    "nothing but links": (made.tarred({"a": "/etc/passwd"}), contract.UNKNOWN_TYPE),
    "cut off": (made.tarred({"a": bytes(9000)}, "gz")[:60], contract.CORRUPT),
    "a Java program": (made.zipped({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n"}), contract.UNKNOWN_TYPE),
    "an app": (made.zipped({"AndroidManifest.xml": b"x", "classes.dex": b"dex"}), contract.UNKNOWN_TYPE),
    "a Windows package": (made.zipped({"[Content_Types].xml": b"<x/>", "a.exe": b"MZ"}), contract.UNKNOWN_TYPE),
    "AppleDouble's header": (made.applesingle("a", b"", b"\x00\x05\x16\x07"), contract.UNKNOWN_TYPE),
    "AppleSingle, cut off": (made.applesingle("a", b"x" * 99)[:-9], contract.CORRUPT),
    "BinHex, changed": (made.binhex("a.txt", b"hello there").replace(b"!", b'"'), contract.CORRUPT),
    "TNEF, cut off": (made.winmail()[:-30], contract.CORRUPT),
    "TNEF that says more than it has": (b"\x78\x9f\x3e\x22\x01\x00\x01\x03\x90\x06\x00\xff\xff\xff\x7f", contract.CORRUPT),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_container_of_which_nothing_can_be_had_says_why(name: str, unpack):
    document, reason = REFUSED[name]
    assert unpack(document) == reason


def test_the_room_is_kept(unpack):
    three = made.zipped({"a": b"1" * 10, "b": b"2" * 10, "c": b"3" * 10})
    assert unpack(three, Room(3, 30))[0] is Form.ARCHIVE
    assert unpack(three, Room(2, 30)) == contract.TOO_MANY_MEMBERS
    assert unpack(three, Room(3, 29)) == contract.UNPACKED_TOO_LARGE
    assert unpack(three, Room(0, 30)) == contract.TOO_MANY_MEMBERS
    assert unpack(made.MESSAGE, Room(1, 10)) == contract.UNPACKED_TOO_LARGE


def test_a_bomb_is_stopped_on_its_way(unpack, sandbox: LocalSandbox):
    assert unpack(made.packed(bytes(200 * MIB), "xz"), Room(5, 10 * MIB)) == contract.UNPACKED_TOO_LARGE
    assert unpack(made.zipped({f"{n}": b"" for n in range(3000)})) == contract.TOO_MANY_MEMBERS


def test_without_room_or_as_a_picture_a_container_is_of_an_unknown_type(sandbox: LocalSandbox, tmp_path: Path):
    document = made.zipped(FILES)
    for result in (
        sandbox.flatten_now(document, tmp_path / "1"),
        sandbox.flatten_now(document, tmp_path / "2", Want.IMAGE, room=ROOM),
    ):
        assert isinstance(result, NotFlattened)
        assert (result.reason, result.found) == (contract.UNKNOWN_TYPE, "application/zip")


@pytest.mark.parametrize("name", documents.ALL)
def test_a_document_is_flattened_where_a_container_would_be_opened(name: str, sandbox: LocalSandbox, tmp_path: Path):
    assert isinstance(sandbox.flatten_now(documents.ALL[name][0], tmp_path / "out", room=ROOM), Flattened)


WRAPPED = {
    "AppleSingle": (made.applesingle("Bücher.pdf", b"%PDF-1.4"), "Bücher.pdf", b"%PDF-1.4"),
    "MacBinary": (made.macbinary("note.txt", b"words"), "note.txt", b"words"),
    "BinHex": (made.binhex("a.txt", b"hello \x90 " + b"a" * 50), "a.txt", b"hello \x90 " + b"a" * 50),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_wrapped_file_comes_out_with_its_name(kind: str, unpack):
    document, name, content = WRAPPED[kind]
    assert unpack(document) == (Form.WRAPPER, [(name, content)])


async def test_over_the_services_socket_the_same_comes_out(sandbox: LocalSandbox, tmp_path: Path):
    document = made.tarred({**FILES, "link": "/etc/passwd"}, "gz")
    direct = sandbox.flatten_now(document, tmp_path / "direct", room=ROOM)
    async with serving_door(sandbox) as (client, _, _):
        result = await client.flatten(document, tmp_path / "members", room=ROOM)
        flattened = await client.flatten(documents.pdf(), tmp_path / "page.pdf", room=ROOM)
    assert isinstance(direct, Unpacked)
    assert isinstance(result, Unpacked)
    assert (result.form, result.members, result.found) == (direct.form, direct.members, direct.found)
    assert result.path.read_bytes() == direct.path.read_bytes()
    assert isinstance(flattened, Flattened)


def test_a_code_page_that_nobody_knows_is_no_hindrance(unpack):
    known = made.winmail()
    unknown = known.replace(b"\xe4\x04\0\0", b"\x7c\x04\0\0", 1)  # 1252, 1148
    assert unknown != known
    assert [name for _, name, _ in leaves(parsed(unpack(unknown), Form.PARTS))][1] == "größe der Sache.pdf"


# --- messages ---


def test_a_message_is_handed_on_as_it_is(unpack):
    assert unpack(made.MESSAGE) == (Form.MESSAGE, [("", made.MESSAGE)])


@pytest.mark.parametrize(
    "text", [b"Note: one\n\nwords", b"From: Ann\nTo: Bob\nSubject: x\n\nwords", b"words\n" + made.MESSAGE]
)
def test_text_is_no_message(text: bytes, sandbox: LocalSandbox, tmp_path: Path):
    result = sandbox.flatten_now(text, tmp_path / "out", room=ROOM)
    assert isinstance(result, Flattened)
    assert result.found == "text/plain"


def parsed(answer, form: Form) -> Message:
    found, [(name, content)] = answer
    assert (found, name) == (form, "")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    return email.message_from_bytes(content)


def leaves(message: Message) -> list[tuple[str, str | None, bytes]]:
    return [
        (part.get_content_type(), part.get_filename(), part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart()
    ]


def test_outlooks_message_is_a_message_with_its_attachments_and_the_message_in_it(unpack):
    message = parsed(unpack(made.msg()), Form.MESSAGE)
    assert str(email.header.make_header(email.header.decode_header(message["Subject"]))) == "Grüße"
    assert "<ann@example.org>" in message["From"]
    assert message["To"] == "Bob <bob@example.net>"
    assert leaves(message) == [
        ("text/plain", None, b"Outer words."),
        ("application/octet-stream", "größe.pdf", b"%PDF-1.4 outer" * 400),
        ("text/plain", None, b"Inner words."),
        ("application/octet-stream", "inner.pdf", b"%PDF-1.4 inner"),
    ]
    [inner] = [part for part in message.walk() if part.get_content_type() == "message/rfc822"]
    assert inner.get_payload(0)["Subject"] == "Inner"


def test_winmail_dat_is_an_entity_with_its_body_and_attachments(unpack):
    entity = parsed(unpack(made.winmail()), Form.PARTS)
    [(kind, _, html), *others] = leaves(entity)
    assert kind == "text/html"
    assert html.decode().split() == ["<html><body><p>Grüße", "П&amp;</p></body></html>"]
    assert [(name, content) for _, name, content in others] == [
        ("größe der Sache.pdf", b"%PDF-1.4 outer"),
        (None, b"Inner words."),
        ("inner.pdf", b"%PDF-1.4 inner"),
    ]


def test_items_lie_only_so_deep(unpack):
    item = made.tnef({}, [])
    for _ in range(12):
        item = made.tnef({}, [("x", None, item)])
    assert unpack(item) == contract.TOO_MANY_MEMBERS


# --- the shared corpus ---

SHARED = {
    "archives/clamav__deflate.alz": contract.UNKNOWN_TYPE,
    "archives/clamav__v1rusv1rus.7z.zip": ["v1rusv1rus.7z"],
    "archives/libarchive__test_read_filter_gzip_recursive.gz": [""],
    "archives/libarchive__test_read_format_7zip_entries_oom.7z": contract.CORRUPT,
    "archives/libarchive__test_read_format_7zip_malformed.7z": contract.CORRUPT,
    "archives/libarchive__test_read_format_rar5_encrypted.rar": ["a.txt", "b.txt", "c.txt", "d.txt"],
    "archives/libarchive__test_read_format_rar_ppmd_use_after_free.rar": contract.ENCRYPTED,
    "archives/libarchive__test_read_format_zip_high_compression.zip": ["char.bin"],
    "archives/libzip__encrypt-aes256.zip": ["plain", "encrypted"],
    "archives/libzip__incons-local-filename.zip": ["b"],
    "archives/libzip__multidisk.zip": ["testfile.txt"],
    "archives/pocs__aes.zip": contract.ENCRYPTED,
    "archives/pocs__dual.zip": ["World.txt", "World.txt"],
    "archives/pocs__hello.zip.gz": ["gzipped.txt"],
    "archives/pocs__hello14.rar": contract.CORRUPT,
    "archives/pocs__unicode2.zip": ["\U0001f60a"],
    "archives/py7zr__encrypted_1.7z": contract.ENCRYPTED,
    "archives/py7zr__filename_encryption.7z": contract.ENCRYPTED,
    "archives/tika__droste.zip": ["droste.jpg", "droste.zip"],
    "archives/tika__quine.gz": ["quine.gz"],
    "archives/tika__test-zip-of-zip.zip": ["html-within-zip.zip"],
    "hostile/dangerzoneimag__sample-11k-pages.pdf.zip": ["sample-11k-pages.pdf"],
    "hostile/own-gzip-svgz-bomb.svgz": contract.UNPACKED_TOO_LARGE,
    "hostile/own-zip-nested-9x10.zip": [f"{number}.zip" for number in range(10)],
    "hostile/own-zip-overlap-2000.zip": ["a.bin"],  # those of one place are one
    "hostile/own-zip-traversal.zip": ["../../etc/cron.d/x", "/abs", "../../x.bat", "a\u202efdp.exe", "C:/x"],
    "hostile/own-zipbomb-100mb.zip": contract.UNPACKED_TOO_LARGE,
    "hostile/pocs__eicar14.rar": contract.CORRUPT,
    "hostile/pycirclean__archivebomb.zip": ["2.zip"],
    "tnef-msg/poi__oom.tnef": contract.CORRUPT,
}


@NEEDS_CORPUS
@pytest.mark.parametrize("name", SHARED)
def test_a_container_of_the_corpus_ends_as_it_should(name: str, unpack):
    answer, expected = unpack((CORPUS / name).read_bytes()), SHARED[name]
    if isinstance(expected, str):
        assert answer == expected
    else:
        assert (answer[0], [member for member, _ in answer[1]]) == (Form.ARCHIVE, expected)


@NEEDS_CORPUS
def test_what_wants_a_password_is_left_out_and_the_rest_is_there(unpack):
    _, members = unpack((CORPUS / "archives/libzip__encrypt-aes256.zip").read_bytes())
    assert members == [("plain", b"plain\n"), ("encrypted", contract.ENCRYPTED)]
    _, members = unpack((CORPUS / "archives/libarchive__test_read_format_rar5_encrypted.rar").read_bytes())
    assert [content for _, content in members] == [
        b"This is from a.txt",
        contract.ENCRYPTED,
        b"This is from c.txt",
        contract.ENCRYPTED,
    ]


@NEEDS_CORPUS
@pytest.mark.parametrize(
    ("name", "form", "names"),
    [
        ("poi__51873.msg", Form.MESSAGE, []),
        ("poi__quick.msg", Form.MESSAGE, []),
        ("poi__attachment_msg_pdf.msg", Form.MESSAGE, ["smbprn.00009008.KdcPjl.pdf"]),
        ("tnef__one-file.tnef", Form.PARTS, ["AUTHORS"]),
        ("tnef__triples.tnef", Form.PARTS, []),
        ("tnefparse__umlaut.tnef", Form.PARTS, None),
    ],
)
def test_an_outlook_item_of_the_corpus_has_its_attachments(name: str, form: Form, names: list[str] | None, unpack):
    entity = parsed(unpack((CORPUS / "tnef-msg" / name).read_bytes()), form)
    found = [filename for _, filename, _ in leaves(entity) if filename]
    assert found == names if names is not None else found
    assert all(content is not None for _, _, content in leaves(entity))
