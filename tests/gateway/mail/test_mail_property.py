"""No MIME parser finds, in what we send, bytes of a file that was to be flattened; and all of them see the same parts."""

from __future__ import annotations

import base64
import email.policy
import quopri

import pytest
from hypothesis import HealthCheck, given, settings

from sandbox.client import Form
from tests import demo_message
from tests.corpus import documents
from tests.fakes.sandbox import container
from tests.gateway.corpus import corpus_files
from tests.gateway.mail.bends import BASES, bent, with_a_file
from tests.gateway.mail.examine import examine, implanted, known_bytes, runs_of, strict
from tests.gateway.mail.letters import ENCODED, PDF, SECRET, TEXT, mixed
from tests.gateway.mail.ordinary import ORDINARY
from tests.gateway.mail.readers import READERS, Leaf, Unreadable, is_installed, start
from tests.gateway.mail.spellings import EVERY, combinations
from tests.gateway.mail.test_mail_encrypted import ENCRYPTED
from tests.gateway.mail.test_mail_neutral import ATTACKS

MAX_BYTES = 100_000  # of a message of the corpus that is tried in more than one form


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_finds_a_file_that_is_there(reader):
    if not is_installed(reader):
        pytest.skip(f"{reader.name} is not installed: {reader.package}")
    child = start(reader)
    leaves = child.leaves(mixed(TEXT, PDF))
    child.close()
    assert Leaf("application/pdf", "x.pdf", SECRET) in leaves
    assert runs_of(SECRET, leaves[-1].data)


def test_a_reader_that_ends_is_started_anew(tmp_path):
    from tests.gateway.mail.readers import Child

    child = Child("sh", "-c", "exit 1")
    for _ in range(2):
        with pytest.raises(Unreadable):
            child.leaves(b"x" * 100_000)


@pytest.mark.parametrize(
    ("at", "length", "found"), [(0, 32, True), (5, 32, True), (7, 31, False), (300, 40, True), (690, 19, False)]
)
def test_32_bytes_of_an_original_are_found_wherever_they_begin(at, length, found):
    original = known_bytes("x")
    assert bool(runs_of(original, b"abc" + original[at : at + length] + b"def")) is found


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_found_of_a_trick(name):
    assert examine(EVERY[name][0], [SECRET]) == []


@pytest.mark.parametrize(("name", "raw"), combinations(), ids=[name for name, _ in combinations()])
def test_nothing_is_found_behind_two_types(name, raw):
    assert examine(raw, [SECRET]) == []


SOFTER = [name for name in EVERY if b"html" in EVERY[name][0] or b"PGP" in EVERY[name][0] or b"p7m" in EVERY[name][0]]


@pytest.mark.parametrize("name", SOFTER)
def test_nothing_is_found_of_a_trick_under_the_strictest_policy(name):
    assert examine(EVERY[name][0], [SECRET], strict()) == []


@pytest.mark.parametrize("name", [*ENCRYPTED, *(f"html {name}" for name in ATTACKS)])
def test_all_readers_see_the_parts_of_what_was_marked_held_or_neutralised(name):
    html = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hi" + ATTACKS.get(name.removeprefix("html "), "").encode()
    raw = ENCRYPTED.get(name) or mixed(TEXT, html, subtype=b"alternative")
    assert examine(raw) == []
    assert examine(raw, under=strict()) == []


@pytest.mark.parametrize("name", ORDINARY)
def test_all_readers_see_the_parts_of_an_ordinary_message(name):
    has_file = "attachment" in name or "image" in name  # else what looks like one is a key, which people read
    assert examine(*(implanted(ORDINARY[name], name) if has_file else (ORDINARY[name],))) == []


def boxed(form: Form, raw: bytes) -> bytes:
    """A message whose file, which only the sandbox can open, holds another one."""
    head = b"Content-Type: application/octet-stream; name=x.msg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return mixed(TEXT, head + base64.encodebytes(container(form, ("", raw))).replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("form", [Form.MESSAGE, Form.PARTS], ids=lambda form: form.name)
@pytest.mark.parametrize("name", EVERY)
def test_no_reader_finds_the_file_of_a_trick_inside_a_file(name, form):
    assert examine(boxed(form, EVERY[name][0]), [SECRET]) == []


@pytest.mark.parametrize("form", [Form.MESSAGE, Form.PARTS], ids=lambda form: form.name)
@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
def test_nothing_is_found_of_a_message_of_the_corpus_inside_a_file(path, form):
    raw, originals = implanted(path.read_bytes(), path.name)
    if len(raw) < MAX_BYTES:
        assert examine(boxed(form, raw), originals) == []


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
def test_nothing_is_found_of_a_message_of_the_corpus(path):
    as_it_is = path.read_bytes()
    as_crlf = as_it_is.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for raw in {as_it_is, as_crlf} if len(as_crlf) < MAX_BYTES else {as_crlf}:
        assert examine(raw) == []
        if len(raw) < MAX_BYTES:
            assert examine(*implanted(raw, path.name)) == []
            assert examine(*with_a_file(raw, path.name)) == []


WORDS = b" ".join(known_bytes("words", b"").hex().encode()[at : at + 9] for at in range(0, 1200, 9)) + b"\r\n"
FILES = {name: document for name, (document, _) in documents.ALL.items()} | {
    "words.txt": WORDS,
    "words.html": b"<p>" + WORDS,
}


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize("name", FILES)
def test_nothing_is_found_of_a_document_of_our_own_corpus(name, encoding):
    assert runs_of(FILES[name], FILES[name])
    encode = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}[encoding]
    lines = encode(FILES[name]).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = f"Content-Type: application/octet-stream; name={name}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    assert examine(mixed(TEXT, head.encode() + lines), [FILES[name]]) == []
    assert examine(mixed(TEXT, head.encode() + lines).replace(b"Hello", b"Hel\0lo"), [FILES[name]]) == []


def test_nothing_is_found_of_the_message_of_the_demonstration():
    raw = demo_message.message().as_bytes(policy=email.policy.SMTP)
    originals = [leaf.data for leaf in start(READERS[0]).leaves(raw) if not leaf.type.startswith("text/")]
    assert len(originals) > 2
    assert examine(raw, originals) == []


def test_what_is_implanted_is_in_the_message():
    raw, originals = implanted(mixed(TEXT, PDF), "x")
    assert len(originals) == 1
    assert ENCODED not in raw
    assert runs_of(originals[0], start(READERS[0]).leaves(raw)[1].data)
    assert all(originals for _, originals in BASES)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bent())
def test_nothing_is_found_of_a_bent_message(case):
    raw, originals = case
    assert examine(raw, originals) == []
