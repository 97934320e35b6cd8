"""How large a policy is: the calls that it allows at all, and under a condition, on x86_64 with given capabilities.

Reads policies as OCI runtimes take them, and as Podman and Docker write them (rules for some architectures, capabilities
or kernels only). A call allowed once without a condition counts as unconditional, whatever other rules say of it.
`table` is our policy beside others': those installed here are counted, the rest were counted once, from the source named.
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


# Counted from these files with the function above; the files are not part of this project. `capabilities`: ours as root,
# which unlock more calls in the engines' defaults, and Dangerzone's own for Dangerzone's
RECORDED: tuple[Row, ...] = ()


def table() -> list[Row]:
    """Ours first, then those that are installed here, then those on record."""
    ours = json.loads(base.SECCOMP.read_text())
    rows = [Row("Lazaretto", count(ours, base.CAPABILITIES), "sandbox/image/seccomp.json")]
    if PODMAN.exists():
        size = count(json.loads(PODMAN.read_text()), base.CAPABILITIES)
        rows.append(Row("Podman's default", size, f"{PODMAN}, installed here, with our four capabilities"))
    return [*rows, *RECORDED]
