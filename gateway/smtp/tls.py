"""TLS contexts for both sides of the gateway (RFC 3207, RFC 8996), made of the settings once, at start.

Never below TLS 1.2. Towards the next hop, "may" hides the mail from those who only listen and asks nobody for a name;
"verify" takes no certificate but one that a named authority has signed for that name. Trusts the files named in the
configuration. Fails with ConfigError, before anything listens.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.config import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import RelaySettings, SmtpSettings


def server_context(settings: SmtpSettings) -> ssl.SSLContext | None:
    """What STARTTLS answers with; None where it is not offered."""
    if settings.tls == "none" or settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")  # never ask a terminal
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"smtp.tls_certificate, smtp.tls_key: {_why(error, settings.tls_certificate)}") from None
    return context


def client_context(settings: RelaySettings) -> ssl.SSLContext | None:
    """What the next hop is spoken to with; None where TLS is off."""
    if settings.tls == "none":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if settings.tls == "may":  # RFC 7435: better than nothing, and nothing would be the alternative
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        if settings.tls_ca_file:
            context.load_verify_locations(settings.tls_ca_file)
        else:
            context.load_default_certs()
    except OSError as error:
        raise ConfigError(f"relay.tls_ca_file: {_why(error, settings.tls_ca_file)}") from None
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: what is older is broken
    context.options |= ssl.OP_NO_RENEGOTIATION


def _why(error: OSError, file: Path | None) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return f"{file}: {reason}; both are PEM files that this user can read, the key without a passphrase"
