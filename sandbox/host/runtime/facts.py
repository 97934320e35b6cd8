"""What the host is like, as far as it decides how an outer container is started: read from /proc and /sys only.

Trusts the kernel. A file that cannot be read counts as a feature that is not there: the canary decides anyway.
"""

from __future__ import annotations

import functools
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CgroupMode = Literal["v2", "hybrid", "v1", "none"]
CONTROLLERS = ("memory", "pids")  # what a sandbox is bounded by


@dataclass(frozen=True, slots=True)
class Host:
    """The facts; `tests/sandbox/test_quirks.py` makes up hosts that are not this one."""

    root: bool
    kernel: tuple[int, ...]
    cgroups: CgroupMode
    ptrace_scope: int  # Yama's; 0 where there is no Yama
    selinux: bool
    userns_restricted: bool  # AppArmor: user namespaces of ordinary users without a profile have no capability


def this_host() -> Host:
    """This host, now."""
    return Host(
        root=os.geteuid() == 0,
        kernel=numbers(platform.release()),
        cgroups=cgroup_mode(Path("/sys/fs/cgroup")),
        ptrace_scope=int(sysctl("kernel/yama/ptrace_scope") or 0),
        selinux=Path("/sys/fs/selinux/enforce").exists(),
        userns_restricted=sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1",
    )


def numbers(text: str) -> tuple[int, ...]:
    """The first dotted version in a text: "runc version 1.1.5+ds1" is (1, 1, 5); () where there is none."""
    matched = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in matched[0].split(".")) if matched else ()


def sysctl(name: str) -> str:
    """A kernel setting by its path below /proc/sys; "" where this kernel has none."""
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:
        return ""


@functools.cache  # asked several times for each document, and a host mounts them when it boots
def cgroup_mode(root: Path) -> CgroupMode:
    """How control groups are mounted; hybrid: version 1 beside a version 2 that has controllers too."""
    if (root / "cgroup.controllers").exists():
        return "v2"
    if not (root / "memory").is_dir():
        return "none"
    unified = root / "unified" / "cgroup.controllers"
    return "hybrid" if unified.exists() and unified.read_text().strip() else "v1"


def has_cgroups() -> bool:
    """True where this process may make control groups that bound memory and processes."""
    root = Path("/sys/fs/cgroup")
    if cgroup_mode(root) == "v2":
        return set(CONTROLLERS) <= set((root / "cgroup.controllers").read_text().split()) and os.access(root, os.W_OK)
    return all((root / name).is_dir() and os.access(root / name, os.W_OK) for name in CONTROLLERS)
