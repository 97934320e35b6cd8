"""The signature of a clear-signed message: whether a part is nothing but one, and what it says of itself.

Nothing is verified and no certificate is read here: a signature earns nothing (sealed.py). Where one is void because
what it spoke of was made safe, the notice in its place says of which kind it was. RFC 1847, RFC 3156, RFC 8551.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.mail import sealed
from gateway.mail.decode import content_of
from gateway.mail.tree import Kind, Part

_CMS: Final = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_PGP: Final = "application/pgp-signature"
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
_DIGESTS: Final = re.compile(r"[A-Za-z0-9/-]{1,30}(?:, ?[A-Za-z0-9/-]{1,30}){0,3}")
_KINDS: Final = dict.fromkeys(_CMS, "S/MIME") | {_PGP: "OpenPGP"}


def is_signature(part: Part) -> bool:
    """True for a signature by its type and its bytes, with no room for anything else."""
    if part.kind is not Kind.LEAF or len(part.types) != 1 or len(part.encodings) != 1:
        return False
    name = part.untrusted_filename.lower()
    if part.content_type in _CMS:
        return (not name or name.endswith(".p7s")) and sealed.is_detached_signature(_content(part))
    if part.content_type == _PGP:
        return (not name or name.endswith((".asc", ".sig", ".pgp"))) and sealed.is_pgp_signature(_content(part))
    return False


def _content(part: Part) -> bytes:
    return content_of(part.body, part.encoding)


def said_of(container: Part, part: Part) -> str:
    """What the header says of the signature `part` in its multipart/signed: kind, protocol, digest."""
    protocol = container.params.get("protocol", "").lower()
    protocol = protocol if _MEDIA_TYPE.fullmatch(protocol) else part.content_type
    return said(part.content_type, protocol, container.params.get("micalg", ""))


def said(media_type: str, protocol: str, untrusted_digest: str) -> str:
    """In words; an outside word only where it is a token."""
    facts = [f"protocol {protocol}"] if _MEDIA_TYPE.fullmatch(protocol) else []
    facts += [f"digest {untrusted_digest}"] if _DIGESTS.fullmatch(untrusted_digest) else []
    about = f" ({', '.join(facts)})" if facts else ""
    kind = _KINDS.get(media_type, "unknown")
    return f"It said of itself: {kind} signature{about}. Whether it was genuine was not checked."
