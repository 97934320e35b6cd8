"""How large a policy is: the calls that it allows at all, and under a condition, on x86_64 with given capabilities.

Reads policies as OCI runtimes take them, and as Podman and Docker write them (with rules for some architectures or
capabilities only).
A call allowed once without a condition counts as unconditional, whatever other rules say of it.
`table` is our policy beside others: those installed here are counted, the rest were counted once, from what is named.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.host.runtime import base
from sandbox.policy.kernel import number_of

if TYPE_CHECKING:
    from collections.abc import Collection

PODMAN = Path("/usr/share/containers/seccomp.json")  # package golang-github-containers-common
ARCHITECTURE = "amd64"
# calls of x86_64 that libseccomp 2.5.4 does not know yet, so that a newer policy does not count as smaller than it is
NEWER = {
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
}


@dataclass(frozen=True, slots=True)
class Size:
    """What a policy allows, by numbers of calls."""

    unconditional: int
    conditional: int

    @property
    def total(self) -> int:
        """Calls that can be made at all."""
        return self.unconditional + self.conditional


@dataclass(frozen=True, slots=True)
class Row:
    """One policy in the table."""

    policy: str
    size: Size
    counted: str  # from what, and how


def count(policy: dict[str, Any], capabilities: Collection[str]) -> Size:
    """The size of a policy for a container with these capabilities, on a kernel that has every call."""
    free: set[int] = set()
    bound: set[int] = set()
    for rule in policy["syscalls"]:
        if rule["action"] in {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"} and _applies(rule, capabilities):
            (bound if rule.get("args") else free).update(_numbers(rule))
    return Size(len(free), len(bound - free))


def _applies(rule: dict[str, Any], capabilities: Collection[str]) -> bool:
    included, excluded = rule.get("includes") or {}, rule.get("excludes") or {}
    return (
        set(included.get("caps") or ()) <= set(capabilities)
        and not set(excluded.get("caps") or ()) & set(capabilities)
        and ARCHITECTURE in (included.get("arches") or [ARCHITECTURE])
        and ARCHITECTURE not in (excluded.get("arches") or [])
    )


def _numbers(rule: dict[str, Any]) -> set[int]:
    names = rule.get("names") or [rule["name"]]
    found = {number if (number := number_of(name)) is not None else NEWER.get(name) for name in names}
    return {number for number in found if number is not None}


# Counted by `count` in November 2026 from files that are not part of this project: repository, commit, path, SHA-256.
# Each also lets the calls of 32-bit programs and of x32 through; ours is for x86_64 only. The engines' defaults
# unlock calls for capabilities, so they are counted twice; Dangerzone gives its container CAP_SYS_CHROOT only
RECORDED = (
    Row(
        "Docker Engine 20.10's default",
        Size(313, 1),
        "with our four capabilities; github.com/moby/moby 5d6db842238e3c4f5f9fb9ad70ea46b35227d084 "
        "profiles/seccomp/default.json ce3585b856aa4a193671fd8280d0d0612a998bd3f10bdb2f8530dfa958c6197f",
    ),
    Row("Docker Engine 20.10's default", Size(289, 2), "without capabilities; the same file"),
    Row(
        "Docker Engine 28.5's default",
        Size(330, 2),
        "with our four capabilities; github.com/moby/moby 89c5e8fd66634b6128fc4c0e6f1236e2540e46e0 "
        "vendor/github.com/moby/profiles/seccomp/default.json "
        "01536f1d1df938ae611eba20d6349e0de7a99b6ecdee1549427a0b01b8301e28",
    ),
    Row("Docker Engine 28.5's default", Size(304, 3), "without capabilities; the same file"),
    Row(
        "Dangerzone's for gVisor",
        Size(311, 2),
        "with CAP_SYS_CHROOT; github.com/freedomofpress/dangerzone 08ebaae24ac7cb8f9a8f39d816cb486e549f4224 "
        "share/seccomp.gvisor.json 31a4e9b340f9d0821260ef0a11dafe26e66d0a9ddafe1e4886709027864a05b8",
    ),
)


def table() -> list[Row]:
    """Ours first, then those that are installed here, then those on record."""
    ours = json.loads(base.SECCOMP.read_text())
    rows = [Row("Lazaretto", count(ours, base.CAPABILITIES), "sandbox/image/seccomp.json")]
    if PODMAN.exists():
        size = count(json.loads(PODMAN.read_text()), base.CAPABILITIES)
        rows.append(Row("Podman's default", size, f"with our four capabilities; {PODMAN} of this machine"))
    return [*rows, *RECORDED]
