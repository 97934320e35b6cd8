"""Encrypted, or only signed: told from the outermost bytes, not from what the header says."""

from __future__ import annotations

import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import sealed
from tests.gateway.corpus import corpus_files

OID = {
    "signed": bytes.fromhex("06092a864886f70d010702"),
    "enveloped": bytes.fromhex("06092a864886f70d010703"),
    "auth": bytes.fromhex("060b2a864886f70d0109100117"),
}
DATA = bytes.fromhex("06092a864886f70d010701")


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2)
    return bytes([tag]) + length + content


def signed(content: bytes) -> bytes:
    inner = tlv(2, b"\1") + tlv(0x31, b"") + tlv(0x30, DATA + content) + tlv(0x31, b"x")
    return tlv(0x30, OID["signed"] + tlv(0xA0, tlv(0x30, inner)))


@pytest.mark.parametrize("kind", ["enveloped", "auth"])
def test_what_is_encrypted_by_its_bytes_is_encrypted(kind):
    assert sealed.is_enveloped(tlv(0x30, OID[kind] + tlv(0xA0, b"x" * 300)))
    assert sealed.is_enveloped(b"\x30\x80" + OID[kind] + b"\xa0\x80...\0\0\0\0")


@pytest.mark.parametrize("tail", [b"PK\x03\x04", b"\0"])
def test_a_tail_behind_the_encrypted_message_makes_it_none(tail):
    assert not sealed.is_enveloped(tlv(0x30, OID["enveloped"] + tlv(0xA0, b"x")) + tail)


def test_a_signed_wrapper_is_not_encrypted():
    assert not sealed.is_enveloped(signed(b""))
    assert not sealed.is_enveloped(signed(tlv(0xA0, tlv(4, b"%PDF-1.7"))))


def test_a_signature_with_content_in_it_is_no_detached_signature():
    assert sealed.is_detached_signature(signed(b""))
    assert not sealed.is_detached_signature(signed(tlv(0xA0, tlv(4, b"%PDF-1.7"))))
    assert not sealed.is_detached_signature(signed(b"") + b"x")


def armored(first: bytes, kind: str = "MESSAGE") -> bytes:
    import base64

    body = base64.b64encode(first + b"x" * 20)
    return b"-----BEGIN PGP %s-----\r\n\r\n%s\r\n=abcd\r\n-----END PGP %s-----\r\n" % (
        kind.encode(),
        body,
        kind.encode(),
    )


@pytest.mark.parametrize(
    ("first", "encrypted"),
    [(0x85, True), (0xC1, True), (0x8C, True), (0xC3, True), (0xCB, False), (0xA3, False), (0x90, False)],
)
def test_a_pgp_message_is_encrypted_only_if_it_begins_with_a_session_key(first, encrypted):
    assert sealed.is_pgp_encrypted(armored(bytes([first]))) is encrypted


def test_armor_with_something_around_it_is_none():
    assert not sealed.is_pgp_encrypted(b"PK\3\4" + armored(b"\xc1"))
    assert not sealed.is_pgp_encrypted(armored(b"\xc1") + b"PK\3\4")
    assert sealed.is_pgp_signature(armored(b"\x89", "SIGNATURE"))
    assert not sealed.is_pgp_signature(armored(b"\xcb", "SIGNATURE"))


@given(st.binary(max_size=80))
def test_no_bytes_make_the_looking_raise(data):
    for look in (sealed.is_enveloped, sealed.is_detached_signature, sealed.is_pgp_encrypted, sealed.is_pgp_signature):
        assert look(b"\x30" + data) in (True, False)
        assert look(b"\x30\x80" + OID["signed"] + data) in (True, False)


@pytest.mark.parametrize("path", corpus_files("mime", "*alice*"), ids=lambda p: getattr(p, "name", str(p)))
def test_real_smime_is_told_apart(path):
    leaf = [p for p in email.message_from_bytes(path.read_bytes()).walk() if "pkcs7" in p.get_content_type()][-1]
    data = leaf.get_payload(decode=True)
    assert sealed.is_enveloped(data) is ("env" in path.name)
    assert sealed.is_detached_signature(data) is ("dsig" in path.name)
