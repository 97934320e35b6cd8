"""Addresses of the sandbox service as the configuration writes them. Text in, a value out. Pure.

    unix:/PATH       a Unix socket; who may connect is said by its mode and its group
    tls:HOST:PORT    TCP under mutual TLS, an IPv6 address in brackets

There is no third: documents and flattened files do not cross a network bare. Trusts the administrator, not his
typing: fails with ValueError that says what to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FORM: Final = 'write it as "unix:/PATH" or "tls:HOST:PORT"; there is no TCP without TLS'
_MAX_PORT: Final = 65535
_MAX_PATH: Final = 107  # unix(7): sun_path, without its NUL


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is; `path` is a Unix socket's, and then there is no host."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tls:[{self.host}]:{self.port}" if ":" in self.host else f"tls:{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read what stands in the configuration; raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > _MAX_PATH or "\0" in path:
            raise ValueError(f'write it as "unix:/PATH", a path from the root of at most {_MAX_PATH} bytes')
        return Address(path=path)
    host, colon, port = text.removeprefix("tls:").rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not text.startswith("tls:") or not colon or not bare or (":" in bare and host == bare):
        raise ValueError(_FORM)
    if not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise ValueError(_FORM)
    return Address(host=bare, port=int(port))
