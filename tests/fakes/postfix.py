"""A real Postfix of the test's own: its own configuration, queue and ports on loopback; built from config/postfix/ as shipped."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(__file__).parents[2] / "config" / "postfix"

MAIN = """\
compatibility_level = 3.6
myhostname = mta.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = {sbin}
daemon_directory = {libexec}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {base}/mail.log
maillog_file_prefixes = {base}
alias_maps =
alias_database =
local_recipient_maps =
disable_dns_lookups = yes
smtpd_peername_lookup = no
relayhost = [127.0.0.1]:{sink}
smtpd_relay_restrictions = permit_mynetworks, reject
minimal_backoff_time = 3s
queue_run_delay = 3s
smtputf8_enable = yes
"""
MASTER = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str:
    """Why no Postfix can be run here; "" where it can."""
    if not shutil.which("postfix", path="/usr/sbin:/sbin:" + os.environ["PATH"]):
        return "Postfix is not installed"
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _default(name: str) -> str:
    return subprocess.run(
        ["/usr/sbin/postconf", "-dh", name], capture_output=True, text=True, check=True
    ).stdout.strip()


class Postfix:
    def __init__(self, base: Path, front: int) -> None:
        self.base = base
        self.front = front

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.base / "etc"), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def log(self) -> str:
        file = self.base / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match:
        """Until the log matches."""
        for _ in range(int(seconds * 10)):
            found = re.search(pattern, self.log())
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} is not in the log:\n{self.log()[-5000:]}")


def _services(text: str) -> list[str]:
    """The entries of a master.cf, without comments."""
    lines = [line for line in text.splitlines(keepends=True) if line.strip() and not line.lstrip().startswith("#")]
    return re.split(r"(?m)^(?=\S)", "".join(lines))[1:]


def _with_tls(transport: str, listener: str, snippet: str, values: dict[str, str]) -> tuple[str, str]:
    """What starttls.master.cf says is done: its lines in the place of those about TLS."""
    options = re.findall(r"(?m)^    -o ((smtpd?)_tls_\w+)=(.*)$", snippet)
    lines = {"smtp": "", "smtpd": ""}
    for name, daemon, value in options:
        lines[daemon] += f"    -o {name}={values.get(name, value)}\n"
    return (
        transport.replace("    -o smtp_tls_security_level=none\n", lines["smtp"]),
        listener.replace("    -o smtpd_tls_security_level=none\n", lines["smtpd"]),
    )


@contextlib.contextmanager
def postfix(
    *,
    sink: int,
    lazaretto: int,
    reinjection: int,
    before_queue: bool = False,
    speed_adjust: bool = True,
    lmtp: bool = False,
    tls: dict[str, str] | None = None,
    transport_options: tuple[str, ...] = (),
    listener_options: tuple[str, ...] = (),
    front_options: tuple[str, ...] = (),
    **overrides: str,
) -> Iterator[Postfix]:
    """Started; stopped at the end.

    `lmtp`: the transport of after-queue-lmtp.master.cf; `tls`: starttls.master.cf, with these values in the place of its
    own; `speed_adjust`: as before-queue.master.cf has it, or without; options are added to the transport, the re-injection listener, the public listener.
    """
    base = Path(tempfile.mkdtemp(prefix="lazaretto-postfix-"))
    base.chmod(0o755)
    front = free_port()
    ports = {"10025": str(lazaretto), "10026": str(reinjection)}

    def shipped(name: str) -> str:
        return re.sub(r"\b1002[56]\b", lambda found: ports[found[0]], (SHIPPED / name).read_text())

    try:
        (base / "etc").mkdir()
        (base / "queue").mkdir()
        (base / "data").mkdir()
        shutil.chown(base / "data", "postfix")
        paths = {"sbin": _default("command_directory"), "libexec": _default("daemon_directory")}
        main = MAIN.format(base=base, sink=sink, **paths) + shipped("after-queue.main.cf")
        transport, listener = _services(shipped("after-queue.master.cf"))
        if lmtp:
            [transport] = _services(shipped("after-queue-lmtp.master.cf"))
            main = re.sub(r"(?m)^lazaretto_destination_recipient_limit =.*$", "", main)
        if tls:
            transport, listener = _with_tls(transport, listener, shipped("starttls.master.cf"), tls)
        transport += "".join(f"    -o {option}\n" for option in transport_options)
        listener += "".join(f"    -o {option}\n" for option in listener_options)
        master = MASTER + transport + listener
        if before_queue:
            main = re.sub(r"(?m)^(content_filter|receive_override_options) =.*$", "", main)
            public = re.sub(r"(?m)^smtp inet", f"127.0.0.1:{front} inet", shipped("before-queue.master.cf"))
            master += public if speed_adjust else public.replace("    -o smtpd_proxy_options=speed_adjust\n", "")
        else:
            master += f"127.0.0.1:{front} inet n - n - - smtpd\n"
            master += "".join(f"    -o {option}\n" for option in front_options)
        main += "".join(f"{name} = {value}\n" for name, value in overrides.items())
        (base / "etc" / "main.cf").write_text(main)
        (base / "etc" / "master.cf").write_text(master)
        running = Postfix(base, front)
        started = running.command("start")
        assert started.returncode == 0, started.stderr + running.log()
        try:
            running.wait_for("daemon started")
            yield running
        finally:
            running.command("stop")
    finally:
        shutil.rmtree(base, ignore_errors=True)
