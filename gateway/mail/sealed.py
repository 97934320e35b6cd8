"""Looks at the outermost bytes of S/MIME and PGP parts: is it encrypted, or only signed? Nothing is opened or verified.

A signed wrapper earns nothing: anybody can sign with a certificate of their own making, and the wrapper would carry any
attachment past us. So only what is encrypted by its own bytes (not by its header) counts as encrypted, and a signature
is kept only where it holds no content of its own. RFC 5652 (CMS), RFC 9580 (OpenPGP), RFC 3156, RFC 8551.
"""

from __future__ import annotations

import re

from gateway.mail.decode import decode_base64

_ENVELOPED = bytes.fromhex("06092a864886f70d010703")
_AUTH_ENVELOPED = bytes.fromhex("060b2a864886f70d0109100117")
_SIGNED = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_SEQUENCE, _SET, _INTEGER, _CONTEXT_0, _OID = 0x30, 0x31, 0x02, 0xA0, 0x06
_INDEFINITE = -1
SIGNATURE_BYTES = 65_536  # a signature with its chain of certificates is some kilobytes
_ARMOR = re.compile(
    rb"\s*-----BEGIN PGP MESSAGE-----[ \t]*\r?\n(?:[A-Za-z]+: [ -~]{0,200}\r?\n){0,8}[ \t]*\r?\n"
    rb"((?:[A-Za-z0-9+/=]{1,100}[ \t]*\r?\n)+)-----END PGP MESSAGE-----\s*"
)
_ARMORED_SIGNATURE = re.compile(
    rb"\s*-----BEGIN PGP SIGNATURE-----[ \t]*\r?\n(?:[A-Za-z]+: [ -~]{0,200}\r?\n){0,8}[ \t]*\r?\n"
    rb"((?:[A-Za-z0-9+/=]{1,100}[ \t]*\r?\n)+)-----END PGP SIGNATURE-----\s*"
)
# first byte of a packet: public-key or symmetric-key encrypted session key, old and new format
_SESSION_KEY = frozenset({*range(0x84, 0x88), *range(0x8C, 0x90), 0xC1, 0xC3})
_SIGNATURE_PACKET = frozenset({*range(0x88, 0x8C), 0xC2})


def is_enveloped(untrusted_cms: bytes) -> bool:
    """True for one CMS EnvelopedData or AuthEnvelopedData and nothing behind it."""
    start = _content_info(untrusted_cms)
    return start > 0 and untrusted_cms.startswith((_ENVELOPED, _AUTH_ENVELOPED), start)


def smime_type(untrusted_cms: bytes) -> str:
    """What RFC 8551 section 3.2.2 calls it."""
    start = max(_content_info(untrusted_cms), 0)
    return "authEnveloped-data" if untrusted_cms.startswith(_AUTH_ENVELOPED, start) else "enveloped-data"


def is_session_key(first_byte: int) -> bool:
    """True for the first byte of an encrypted OpenPGP message."""
    return first_byte in _SESSION_KEY


def is_detached_signature(untrusted_cms: bytes) -> bool:
    """True for one CMS SignedData that holds no content (RFC 5652 section 5.2: eContent absent)."""
    start = _content_info(untrusted_cms)
    if start < 0 or len(untrusted_cms) > SIGNATURE_BYTES or not untrusted_cms.startswith(_SIGNED, start):
        return False
    position = start + len(_SIGNED)
    for tag in (_CONTEXT_0, _SEQUENCE):
        found, position, _ = _tlv(untrusted_cms, position)
        if found != tag:
            return False
    for tag in (_INTEGER, _SET):
        found, position, length = _tlv(untrusted_cms, position)
        if found != tag or length == _INDEFINITE:
            return False
        position += length
    tag, position, length = _tlv(untrusted_cms, position)
    if tag != _SEQUENCE or not untrusted_cms.startswith(_DATA, position):
        return False
    end = untrusted_cms[position + len(_DATA) : position + len(_DATA) + 2]
    return length == len(_DATA) or (length == _INDEFINITE and end == b"\0\0")


def _content_info(cms: bytes) -> int:
    """Where the type of the one outer ContentInfo stands; -1 where it is not all there is."""
    tag, start, length = _tlv(cms, 0)
    if tag != _SEQUENCE:
        return -1
    whole = cms.endswith(b"\0\0") if length == _INDEFINITE else start + length == len(cms)
    return start if whole else -1


def _tlv(data: bytes, position: int) -> tuple[int, int, int]:
    """Tag, where its content starts, length of it; tag -1 where there is none (X.690 section 8.1)."""
    if position + 2 > len(data):
        return -1, position, 0
    tag, first = data[position], data[position + 1]
    if first < 0x80:  # noqa: PLR2004 - X.690 section 8.1.3.4: the short form
        return tag, position + 2, first
    if first == 0x80:  # noqa: PLR2004 - section 8.1.3.6: the indefinite form
        return tag, position + 2, _INDEFINITE
    count = first & 0x7F
    length = int.from_bytes(data[position + 2 : position + 2 + count][:8])
    return tag, position + 2 + count, length


def is_pgp_encrypted(untrusted_armor: bytes) -> bool:
    """True for one armored OpenPGP message that begins with a session key: a literal or signed one does not."""
    return _first_packet(_ARMOR, untrusted_armor) in _SESSION_KEY


def is_pgp_signature(untrusted_armor: bytes) -> bool:
    """True for one armored OpenPGP signature."""
    return (
        len(untrusted_armor) <= SIGNATURE_BYTES
        and _first_packet(_ARMORED_SIGNATURE, untrusted_armor) in _SIGNATURE_PACKET
    )


def _first_packet(pattern: re.Pattern[bytes], armor: bytes) -> int:
    match = pattern.fullmatch(armor)
    data = decode_base64(match[1][:100]) if match else b""
    return data[0] if data else -1
