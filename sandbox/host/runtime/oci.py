"""The outer container as an OCI runtime specification: a pure function, the same for every OCI runtime.

Namespaces of every kind, a user namespace whose ids belong to nobody on the host, our seccomp policy, a read-only
root, three mounts, one environment variable. tests/sandbox/test_outer_spec.py holds it against a golden file.
"""

from __future__ import annotations

import json
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.airlock import inner
from sandbox.host.runtime import base
from sandbox.host.runtime.facts import numbers

if TYPE_CHECKING:
    from sandbox.host.runtime.base import Plan

# Ids of the outer container's namespace when it is started by root: above what login.defs hands out
# (SUB_UID_MAX 600100000) and above what systemd-nspawn takes (0x6fffffff), below 2^31
FIRST_HOST_ID = 2_000_000_000
IDS = 65_536
NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "user", "uts")
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One range of ids: container's first, host's first, how many."""

    container: int
    host: int
    size: int

    def spec(self) -> dict[str, int]:
        """As the OCI runtime specification writes it."""
        return {"containerID": self.container, "hostID": self.host, "size": self.size}


# Since then the limit counts the processes of one user namespace; before, those of the user in all of them
NPROC_OF_NAMESPACE = (5, 14)
ROOT_MAPPINGS = ((Mapping(0, FIRST_HOST_ID, IDS),), (Mapping(0, FIRST_HOST_ID, IDS),))


def user_mappings(user: str, uid: int, gid: int) -> tuple[tuple[Mapping, ...], tuple[Mapping, ...]]:
    """An ordinary user's mappings: itself as root, its range of /etc/subuid and /etc/subgid as all others."""
    return (
        (Mapping(0, uid, 1), *_subordinate(Path("/etc/subuid"), user, uid)),
        (Mapping(0, gid, 1), *_subordinate(Path("/etc/subgid"), user, uid)),
    )


def _subordinate(path: Path, user: str, uid: int) -> tuple[Mapping, ...]:
    # subuid(5): login name or uid, first id, count
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        matched = re.fullmatch(r"([^:]+):(\d+):(\d+)", line.strip())
        if matched and matched[1] in {user, str(uid)}:
            return (Mapping(1, int(matched[2]), min(int(matched[3]), IDS - 1)),)
    return ()


def outer_spec(
    plan: Plan, mappings: tuple[tuple[Mapping, ...], tuple[Mapping, ...]], cgroup: str | None
) -> dict[str, Any]:
    """The specification; `cgroup` is the path of a group of its own, None where the host gives us none."""
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in NAMESPACES],
        "uidMappings": [mapping.spec() for mapping in mappings[0]],
        "gidMappings": [mapping.spec() for mapping in mappings[1]],
        "maskedPaths": list(MASKED),
        "readonlyPaths": list(READ_ONLY),
        "seccomp": json.loads(plan.policy.read_text()),
    }
    if cgroup:
        memory, processes = plan.limits.memory_bytes, plan.limits.processes
        linux["cgroupsPath"] = cgroup
        linux["resources"] = {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": memory, "swap": memory},
            "pids": {"limit": processes},
        }
    return {
        "ociVersion": "1.0.2",
        "process": _process(plan, bounded=cgroup is not None),
        "root": {"path": str(plan.image.rootfs), "readonly": True},
        "hostname": "sandbox",
        "mounts": [*_mounts(), *_snapshot(plan)],
        "linux": linux,
    }


def _process(plan: Plan, *, bounded: bool) -> dict[str, Any]:
    limits = {"RLIMIT_NOFILE": base.OPEN_FILES, "RLIMIT_CORE": 0}
    if not bounded and numbers(platform.release()) >= NPROC_OF_NAMESPACE:
        limits["RLIMIT_NPROC"] = plan.limits.processes
    return {
        "user": {"uid": 0, "gid": 0},
        "args": plan.arguments(),
        "env": ["PATH=/usr/bin"],
        "cwd": "/",
        "capabilities": {kind: list(base.CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        "noNewPrivileges": True,
        "rlimits": [{"type": name, "hard": value, "soft": value} for name, value in limits.items()],
    }


def _mounts() -> list[dict[str, Any]]:
    scratch = [
        {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": [*SAFE, *options.split(",")]}
        for path, options in base.TMPFS.items()
    ]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": list(SAFE)},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=64k", "mode=755"]},
        *scratch,
    ]


def _snapshot(plan: Plan) -> list[dict[str, Any]]:
    mount = plan.bind_mount()
    if mount is None:
        return []
    place, writable = mount
    options = ["bind", *SAFE, "rw" if writable else "ro"]
    return [{"destination": inner.SNAPSHOT, "type": "bind", "source": str(place), "options": options}]


SAFE = ("nosuid", "nodev", "noexec")
