"""The inner container: what gVisor is told, as a pure function of nothing but this file.

The specification is written into the image when it is built, and `runsc` is started on it as the outer container's
first process: nothing of ours runs between the two walls. Mounts and environment are lists of what is allowed; what
is not named here does not exist inside. tests/sandbox/test_inner.py holds the result against a golden file.

Paths are those of the outer container (sandbox/image/layout.py lays them out).
"""

from __future__ import annotations

from typing import Any

INNER_ROOT = "/inner"
BUNDLE = "/bundle"
STATE = "/run/runsc"
SNAPSHOT = "/snapshot"  # where a snapshot is mounted: read-only to start from it, writable only while it is made
RUNSC = "/usr/bin/runsc"
CONTAINER_ID = "document"
USER = 1000  # nobody in particular; owns nothing in the image
OPEN_FILES = 1024
TMP_BYTES = 512 * 1024 * 1024  # gVisor keeps it in memory: it counts against the document's memory too
ADDRESS_SPACE = 8 * 1024 * 1024 * 1024  # a process; the Java machine for HWP reserves 4 GiB without touching them

# written by the guest: LibreOffice's profile, the document, its PDF. All else is read-only or empty.
WRITABLE = ("/tmp",)  # noqa: S108 - the sandbox's own tmpfs
# directories of a Debian system that the guest has no business with: empty and read-only. /dev is gVisor's own:
# null, zero, random, no device of the host
MASKED = ("/boot", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/sys", "/var")

ENVIRONMENT = (
    "PATH=/usr/bin",
    "HOME=/tmp",
    "LANG=C.UTF-8",
    "PYTHONPATH=/usr/lib/lazaretto",
    "PYTHONDONTWRITEBYTECODE=1",
    "SAL_USE_VCLPLUGIN=svp",  # LibreOffice without a display
)


def runsc_arguments(platform: str, *, rootless: bool = False, restore: bool = False) -> list[str]:
    """The outer container's first process: runsc on the bundle, with `platform` systrap or ptrace.

    `rootless` where that process holds no capability in a user namespace of its own, so that runsc makes one.
    `restore`: not from the guest's first instruction but from the snapshot, which has to be mounted. The flags must be
    those that it was made with.
    """
    command = ["restore", f"--image-path={SNAPSHOT}"] if restore else ["run"]
    return [*_runsc(platform, rootless=rootless), *command, f"--bundle={BUNDLE}", CONTAINER_ID]


def checkpoint_arguments(platform: str) -> list[str]:
    """A second process of the outer container, which freezes the guest into files of the snapshot and ends it."""
    # uncompressed, since it is read at each start and written once
    options = ["-compression=none", "-exclude-committed-zero-pages", f"--image-path={SNAPSHOT}"]
    return [*_runsc(platform, rootless=False), "checkpoint", *options, CONTAINER_ID]


def _runsc(platform: str, *, rootless: bool) -> list[str]:
    return [
        RUNSC,
        *(["--rootless"] if rootless else []),
        f"--root={STATE}",
        f"--platform={platform}",
        "--network=none",  # no network stack at all
        "--host-uds=none",  # no Unix socket of the outer side can be opened
        "--directfs=false",  # files are opened by the gofer, so that the sentry's own policy forbids open
        "--ignore-cgroups=true",  # the outer container's cgroup holds all of it already
        # the root is read-only, so nothing is ever written to this layer; with it gVisor knows that the files below
        # cannot change and asks the gofer for each but once: a third off the time of an office document
        "--overlay2=root:memory",
    ]


def inner_spec() -> dict[str, Any]:
    """The OCI runtime specification of the inner container."""
    return {
        "ociVersion": "1.2.0",
        "process": _process(),
        "root": {"path": INNER_ROOT, "readonly": True},
        "hostname": "sandbox",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},  # gVisor's own
            *(_tmpfs(path, "ro") for path in MASKED),
            *(_tmpfs(path, "rw", f"size={TMP_BYTES}", "mode=1777") for path in WRITABLE),
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def _process() -> dict[str, Any]:
    limits = {"RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_AS": ADDRESS_SPACE, "RLIMIT_CORE": 0}
    return {
        "user": {"uid": USER, "gid": USER},
        "args": ["/usr/bin/python3", "-m", "sandbox.guest"],
        "env": list(ENVIRONMENT),
        "cwd": "/tmp",  # noqa: S108 - the sandbox's own tmpfs
        "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted")},
        "noNewPrivileges": True,
        "rlimits": [{"type": name, "hard": value, "soft": value} for name, value in limits.items()],
    }


def _tmpfs(path: str, *options: str) -> dict[str, Any]:
    return {
        "destination": path,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "nodev", "noexec", *options],
    }
