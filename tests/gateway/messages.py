"""Messages for tests, made here."""

from __future__ import annotations

import base64

TEXT_ONLY = (
    b"From: a@example.org\r\nTo: b@example.net\r\nSubject: plain\r\nMessage-ID: <1@example.org>\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n.a line with a dot\r\n\r\nthe end\r\n"
)


def with_attachments(*documents: bytes, subject: bytes = b"papers") -> bytes:
    """A clean multipart/mixed: a text, and each document as base64 under the name fileN.doc."""
    parts = [b"Content-Type: text/plain\r\n\r\nsee the papers\r\n"]
    for number, document in enumerate(documents, 1):
        parts.append(
            b"Content-Type: application/msword\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b'Content-Disposition: attachment; filename="file%d.doc"\r\n\r\n'
            % number
            + base64.encodebytes(document).replace(b"\n", b"\r\n")
        )
    return (
        b"From: a@example.org\r\nTo: b@example.net\r\nSubject: " + subject + b"\r\n"
        b"Message-ID: <2@example.org>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
        + b"".join(b"--=_b\r\n" + part for part in parts)
        + b"--=_b--\r\n"
    )
