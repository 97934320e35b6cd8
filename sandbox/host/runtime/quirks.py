"""The version table: what each engine, in each version and on each kind of host, wants other than the rest.

Data and one pure function over it. What can be tried out here is (tests/e2e/test_runtimes.py); what cannot is tested
against recorded answers of the engines (tests/sandbox/test_quirks.py). The version is the engine's own: Docker Desktop
has a version of its own that says nothing about the Docker Engine in it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.host.runtime.facts import Host

EVERY = ("runc", "crun", "podman", "docker")


class Effect(enum.StrEnum):
    """What a row changes in how a container is started."""

    NOTHING = "nothing"  # known, and our usual arguments answer it already
    ADVICE = "advice"  # told to the administrator when no sandbox starts
    EXPLICIT_ENOSYS = "explicit ENOSYS"  # the policy names what newer libraries try, since its default is not read
    NOMAP = "nomap"  # the user's own id stands for nobody in the container
    HIDE_UNIFIED = "hide unified"  # start the program where it does not see the version 2 hierarchy
    LABEL = "label"  # the SELinux type that lets a container make containers


@dataclass(frozen=True, slots=True)
class Row:
    """One line: for which runtimes, which versions (`since` <= version < `below`), which hosts; what, why, whence."""

    runtimes: tuple[str, ...]
    effect: Effect
    why: str
    source: str
    since: tuple[int, ...] = ()
    below: tuple[int, ...] = ()
    host: Mapping[str, object] = field(default_factory=dict)  # facts.Host's fields, with the value that is meant


TABLE = (
    Row(
        ("podman",),
        Effect.EXPLICIT_ENOSYS,
        "it does not read defaultErrnoRet and answers EPERM, on which libraries do not fall back to older calls",
        "containers/common pull 573 and 689",
        below=(4, 0),
    ),
    Row(
        ("podman",),
        Effect.NOMAP,
        "without it an ordinary user's containers run as that user, the gateway's own account",
        "podman-run(1), --userns=nomap",
        since=(4, 1),
        host={"root": False},
    ),
    Row(
        ("podman", "docker"),
        Effect.LABEL,
        "the type of ordinary containers may not mount, which runsc must",
        "freedomofpress/dangerzone issue 880",
        host={"selinux": True},
    ),
    Row(
        ("docker",),
        Effect.NOTHING,
        "its default policy refuses new user namespaces, so gVisor does not start; ours is given always",
        "measured with 20.10.24; freedomofpress/dangerzone issue 846",
        below=(25, 0),
    ),
    Row(
        ("docker",),
        Effect.NOTHING,
        "its default policy allows ptrace from here on, and three times the calls of ours; ours is given always, which "
        "also answers OrbStack and Docker Desktop 4.42, whose own defaults are stricter",
        "freedomofpress/dangerzone pull 926 and issue 1191",
        since=(25, 0),
    ),
    Row(
        ("docker",),
        Effect.NOTHING,
        "it does not read defaultErrnoRet and answers EPERM; it knows no errnoRet a rule either. Only runsc runs under "
        "the policy, and Go's runtime takes EPERM for the calls that it tries",
        "measured with 20.10.24; moby/moby pull 42604",
        below=(23, 0),
    ),
    Row(
        ("crun",),
        Effect.HIDE_UNIFIED,
        "it refuses a host with controllers in both hierarchies, and works in a mount namespace without the second",
        "measured with 1.8.1",
        host={"cgroups": "hybrid", "root": True},
    ),
    Row(
        ("crun",),
        Effect.ADVICE,
        "crun refuses a host with cgroup controllers in both hierarchies; use runc, or boot with "
        "systemd.unified_cgroup_hierarchy=1",
        "measured with 1.8.1",
        host={"cgroups": "hybrid", "root": False},
    ),
    Row(
        EVERY,
        Effect.ADVICE,
        "gVisor's sandbox attaches to its children, and Yama's ptrace_scope 2 and 3 keep that for CAP_SYS_PTRACE, "
        "which no sandbox is given; set kernel.yama.ptrace_scope to 1",
        "google/gvisor issues 9006 and 11091",
        host={"ptrace_scope": 2},
    ),
    Row(
        EVERY,
        Effect.ADVICE,
        "Yama's ptrace_scope 3 forbids ptrace to everyone until the next boot; boot with ptrace_scope 1",
        "google/gvisor issue 10495",
        host={"ptrace_scope": 3},
    ),
    Row(
        ("runc", "crun"),
        Effect.ADVICE,
        "AppArmor takes the capabilities of user namespaces that ordinary users make; use Podman, which has a profile, "
        "or set kernel.apparmor_restrict_unprivileged_userns to 0",
        "Ubuntu 23.10 release notes",
        host={"root": False, "userns_restricted": True},
    ),
)


def rows(runtime: str, version: tuple[int, ...], host: Host) -> list[Row]:
    """The rows that hold for this runtime in this version on this host."""
    return [row for row in TABLE if runtime in row.runtimes and _in_range(row, version) and _matches(row, host)]


def effects(runtime: str, version: tuple[int, ...], host: Host) -> frozenset[Effect]:
    """What those rows change."""
    return frozenset(row.effect for row in rows(runtime, version, host))


def advice(runtime: str, version: tuple[int, ...], host: Host) -> str:
    """What to tell when this runtime starts no sandbox here; "" where nothing is known."""
    return "; ".join(row.why for row in rows(runtime, version, host) if row.effect is Effect.ADVICE)


def _in_range(row: Row, version: tuple[int, ...]) -> bool:
    # an unknown version () is taken for a new one: below no bound, and since every one
    known = bool(version)
    return not (known and row.since and version < row.since) and not (row.below and (not known or version >= row.below))


def _matches(row: Row, host: Host) -> bool:
    return all(getattr(host, name) == value for name, value in row.host.items())
