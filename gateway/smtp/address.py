"""Addresses as the configuration writes them: where to listen, where the next hop is. Text in, a value out. Pure.

    HOST:PORT                SMTP over TCP, an IPv6 address in brackets
    lmtp:HOST:PORT           LMTP (RFC 2033) over TCP
    unix:/PATH               LMTP over a Unix socket, as Postfix writes it
    smtp: or lmtp: before either says which protocol it is

Trusts the administrator, not his typing: fails with ValueError that says what to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_FORM: Final = (
    'write it as HOST:PORT, for example "127.0.0.1:10025" or "[::1]:10025", or "lmtp:HOST:PORT", "unix:/PATH"'
)
_MAX_PORT: Final = 65535
_MAX_PATH: Final = 107  # unix(7): sun_path, without its NUL

Protocol = Literal["smtp", "lmtp"]


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a mail connection; `path` is a Unix socket's, and then there is no host."""

    protocol: Protocol
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        protocol = "lmtp:" if self.protocol == "lmtp" else ""
        if self.path:
            return f"{protocol or 'smtp:'}unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{protocol}{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read what stands in the configuration; raises ValueError."""
    rest = text
    named: Protocol | None = None
    if text.startswith("smtp:"):
        named, rest = "smtp", text.removeprefix("smtp:")
    elif text.startswith("lmtp:"):
        named, rest = "lmtp", text.removeprefix("lmtp:")
    if rest.startswith("unix:"):
        path = rest.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > _MAX_PATH or "\0" in path:
            raise ValueError(f'write it as "unix:/PATH", a path from the root of at most {_MAX_PATH} bytes')
        return Address(named or "lmtp", path=path)
    host, port = _host_and_port(rest)
    return Address(named or "smtp", host, port)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise ValueError(_FORM)
    if ":" in bare and host == bare:  # an IPv6 address without brackets, or a protocol that is none
        raise ValueError(_FORM)
    return bare, int(port)
