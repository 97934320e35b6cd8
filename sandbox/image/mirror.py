"""Which Debian mirror to build from: the one this host uses already, unless the user names another.

Trusts the host's own apt configuration. Fails with one line that says what to pass. No mirror's name is written here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# what `apt-get indextargets` prints of each package index it would read
FORMAT = "$(LABEL) $(SITE) $(REPO_URI)"


class MirrorUnknownError(Exception):
    """No Debian mirror is configured on this host and none was named."""


def sources(suite: str, mirror: str | None = None, security_mirror: str | None = None) -> list[str]:
    """Lines of sources.list for `suite`; raises MirrorUnknownError. Security updates come along where known."""
    main = mirror or _configured("Debian")
    if not main:
        raise MirrorUnknownError("no Debian mirror in this host's apt configuration; pass --mirror URL")
    option = f"[signed-by={KEYRING}]"
    lines = [f"deb {option} {main} {suite} main", f"deb {option} {main} {suite}-updates main"]
    security = security_mirror or (None if mirror else _configured("Debian-Security"))
    if security:
        lines.append(f"deb {option} {security} {suite}-security main")
    return lines


def _configured(label: str) -> str | None:
    # Label is the archive's own word for itself, whatever the mirror's address
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", FORMAT, "Created-By: Packages"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    for line in listed.splitlines():
        found, _, rest = line.partition(" ")
        if found == label:
            return rest.split(" ")[-1].rstrip("/")
    return None


def apt_options() -> list[str]:
    """The host's proxy and certificate settings for apt, which the bootstrap does not inherit by itself."""
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    return [line for line in dump.splitlines() if line.startswith(wanted) and '""' not in line]
