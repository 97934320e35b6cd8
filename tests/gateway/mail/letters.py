"""Messages made for the tests, the whole way through the mail room, and readers that look for what must not get out."""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
import hashlib
import re
from dataclasses import dataclass

from gateway.mail.filename import flattened_name
from gateway.mail.parse import parse
from gateway.mail.plan import make_plan
from gateway.mail.policy import Policy
from gateway.mail.rebuild import rebuild
from gateway.mail.result import Safe
from gateway.mail.step import Action, Plan
from gateway.mail.tree import Message
from sandbox.client import Want

SECRET = b"%PDF-1.7\n" + b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(30))  # no text, not guessable
ENCODED = base64.encodebytes(SECRET).replace(b"\n", b"\r\n")
SAFE = b"%PDF-fake made by the tests"
TOP = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"
PDF = (
    b"Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename=x.pdf\r\n\r\n"
) + ENCODED


def mixed(*parts: bytes, boundary: bytes = b"outer", top: bytes = TOP, subtype: bytes = b"mixed") -> bytes:
    head = top + b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (subtype, boundary)
    return head + joined(*parts, boundary=boundary)


def joined(*parts: bytes, boundary: bytes = b"outer") -> bytes:
    return (
        b"".join(b"--%s\r\n%s\r\n" % (boundary, part.removesuffix(b"\r\n")) for part in parts)
        + b"--%s--\r\n" % boundary
    )


@dataclass(frozen=True)
class Sent:
    message: Message
    plan: Plan
    results: dict
    out: bytes


def answered(plan: Plan) -> dict:
    results = {}
    for step in plan.steps:
        if step.action is Action.FLATTEN:
            kind = "image/png" if step.want is Want.IMAGE else "application/pdf"
            results[step.part] = Safe(SAFE, kind, flattened_name(step.name, kind))
    return results


def send(raw: bytes, policy: Policy | None = None) -> Sent:
    policy = policy or Policy()
    message = parse(raw, policy.bounds)
    plan = make_plan(message, policy)
    results = answered(plan)
    return Sent(message, plan, results, rebuild(message, plan, results))


def leaves_by_python(raw: bytes) -> list:
    """(type, name, payload) of every leaf, as the standard library reads them under both of its policies."""
    found = []
    for policy in (email.policy.compat32, email.policy.default):
        for part in email.message_from_bytes(raw, policy=policy).walk():
            if part.is_multipart():
                continue
            try:
                payload = part.get_payload(decode=True) or b""
                name = part.get_filename() or ""
            except (LookupError, ValueError, AttributeError, IndexError, TypeError, AssertionError, KeyError):
                payload, name = str(part.get_payload()).encode("utf-8", "surrogateescape"), "?"
            found.append((part.get_content_type(), name, payload))
    return found


def haystack(raw: bytes) -> bytes:
    """All that a lenient reader could find in a message: as it is, and every decoding of every run of it."""
    found = [raw, binascii.a2b_qp(raw), *(payload for _, _, payload in leaves_by_python(raw))]
    for source in list(found):
        for run in re.findall(rb"[A-Za-z0-9+/=\s>*!_-]{40,}", source):
            digits = re.sub(rb"[^A-Za-z0-9+/]", b"", run)
            found += [base64.b64decode(digits[at:][: (len(digits) - at) // 4 * 4]) for at in range(4)]
        for line_run in re.findall(rb"(?m)^begin [0-7]{3}[^\n]*\n((?:[^\n]+\n)+)", source):
            found.append(b"".join(_uu(line) for line in line_run.splitlines()))
    return b"\xff\x00".join(found)


def _uu(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""


def windows(secret: bytes, size: int = 32) -> list[bytes]:
    """Pieces of a secret, spread over it; few different bytes prove nothing and are left out."""
    step = max(1, (len(secret) - size) // 40)
    pieces = [secret[at : at + size] for at in range(0, max(1, len(secret) - size), step)]
    return [piece for piece in pieces if len(piece) == size and len(set(piece)) > 8]


def leaked(secret: bytes, out: bytes, hay: bytes | None = None) -> list[bytes]:
    hay = hay if hay is not None else haystack(out)
    return [piece for piece in windows(secret) if piece in hay]
