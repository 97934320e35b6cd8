"""TLS contexts for both sides of the sandbox service: each shows a certificate, and takes none but its own authority's.

TLS 1.3, since both sides are ours. The authority is named, never the system's: whoever any public authority has signed
for may not start sandboxes. Trusts the files named in the configuration. Fails with SandboxUnavailableError that names
the file.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from sandbox.client import SandboxUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.client import ServiceSettings


def service_context(settings: ServiceSettings) -> ssl.SSLContext:
    """The service's side: nobody is listened to without a certificate."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, settings)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def gateway_context(settings: ServiceSettings) -> ssl.SSLContext:
    """The gateway's side: the service's certificate is for its name, too."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, settings)  # which checks the chain and the name


def _context(side: int, settings: ServiceSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    certificate, authority = settings.tls_certificate, settings.tls_ca_file
    if certificate is None or authority is None:
        raise SandboxUnavailableError("sandbox.service: TLS needs tls_certificate and tls_ca_file")
    try:
        context.load_cert_chain(certificate, settings.tls_key, password="")  # never ask a terminal
    except OSError as error:  # ssl.SSLError is one
        raise SandboxUnavailableError(_line("tls_certificate, tls_key", certificate, error)) from None
    try:
        context.load_verify_locations(authority)
    except OSError as error:
        raise SandboxUnavailableError(_line("tls_ca_file", authority, error)) from None
    return context


def _line(keys: str, file: Path, error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    mend = "all are PEM files that this user can read, the key without a passphrase"
    return f"sandbox.service.{keys}: {file}: {reason}; {mend}"
