"""The service's listening sockets: handed over by systemd, or made here, each with what guards it.

A Unix socket is guarded by its mode, 0660, and its group: it is never open wider, not even before it listens. A TCP
socket is guarded by mutual TLS; there is none without. Fails with OSError whose text is one line, among them an address
on which somebody answers already; a socket file that a dead service left is replaced.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.address import Address, parse_address
from sandbox.tls import service_context

if TYPE_CHECKING:
    import ssl

    from sandbox.client import ServiceSettings

MODE: Final = 0o660
FIRST_FD: Final = 3  # sd_listen_fds(3)
MAX_FDS: Final = 16
PROBE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Guarded:
    """A socket to listen on, and what is asked of those who connect beside their right to open it."""

    socket: socket.socket
    tls: ssl.SSLContext | None  # None for a Unix socket only
    address: Address  # port 0 resolved
    ours: bool  # made here, not by systemd

    def remove(self) -> None:
        """Take the file of a Unix socket away, so that whoever comes now is told at once that nobody is here."""
        if self.ours and self.address.path:
            Path(self.address.path).unlink(missing_ok=True)


def sockets(listen_at: str, settings: ServiceSettings) -> list[Guarded]:
    """At `listen_at`; else those of systemd; else at the settings' own address."""
    if not listen_at and (given := from_systemd()):
        return [_guarded(each, settings, ours=False) for each in given]
    text = listen_at or settings.listen or settings.address
    if not text:
        raise OSError(errno.EDESTADDRREQ, "no address: give --listen, or set sandbox.service.listen or address")
    address = parse_address(text)
    made = unix(Path(address.path), settings.socket_group) if address.path else tcp(address.host, address.port)
    return [_guarded(made, settings, ours=True)]


def _guarded(each: socket.socket, settings: ServiceSettings, *, ours: bool) -> Guarded:
    name = each.getsockname()
    if each.family == socket.AF_UNIX:
        return Guarded(each, None, Address(path=str(name)), ours)
    return Guarded(each, service_context(settings), Address(host=str(name[0]), port=int(name[1])), ours)


def from_systemd() -> list[socket.socket]:
    """The sockets that were made before us (sd_listen_fds(3)); the variables are for nobody after us."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or int(count) > MAX_FDS:
        return []
    found = [socket.socket(fileno=number) for number in range(FIRST_FD, FIRST_FD + int(count))]
    for each in found:
        each.set_inheritable(False)
    return found


def unix(path: Path, group: str) -> socket.socket:
    """A Unix socket at `path`, in place of one on which nobody answers."""
    if os.path.lexists(path):
        _remove_if_dead(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~MODE)
    try:
        made.bind(str(path))
        path.chmod(MODE)  # nobody can connect before it listens
        if group:
            shutil.chown(path, group=group)
    except LookupError:
        made.close()
        path.unlink()
        raise OSError(errno.EINVAL, f"sandbox.service.socket_group: there is no group {group}") from None
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def _remove_if_dead(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise OSError(errno.EEXIST, f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError:  # full, or not ours to ask: somebody's all the same
            pass
    raise OSError(errno.EADDRINUSE, f"another service listens on {path}")


def tcp(host: str, port: int) -> socket.socket:
    """A TCP socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
