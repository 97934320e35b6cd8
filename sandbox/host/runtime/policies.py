"""The seccomp policy as an old engine must be given it.

An engine that does not read `defaultErrnoRet` answers EPERM for every call that is not on the list. Libraries take
that for an answer where they would take ENOSYS for an old kernel and fall back. So the calls that were added to Linux
since 4.11, which is what libraries try first, are named with the errno that is meant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.host.runtime.base import Plan

ENOSYS = 38
# syscalls(2), those since Linux 4.11; a name that the engine does not know is passed over by it
NEWER_CALLS = (
    "cachestat",
    "clone3",
    "close_range",
    "epoll_pwait2",
    "faccessat2",
    "fchmodat2",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "futex_requeue",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "getxattrat",
    "io_pgetevents",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listmount",
    "listxattrat",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "map_shadow_stack",
    "memfd_secret",
    "mount_setattr",
    "move_mount",
    "mseal",
    "open_tree",
    "openat2",
    "pidfd_getfd",
    "pidfd_open",
    "pidfd_send_signal",
    "process_madvise",
    "process_mrelease",
    "quotactl_fd",
    "removexattrat",
    "rseq",
    "set_mempolicy_home_node",
    "setxattrat",
    "statmount",
    "statx",
)


def with_explicit_enosys(plan: Plan) -> Path:
    """Write the plan's policy with `NEWER_CALLS` refused by name beside the container's state; returns the path."""
    policy = json.loads(plan.policy.read_text())
    allowed = {name for rule in policy["syscalls"] for name in rule["names"]}
    refused = sorted(set(NEWER_CALLS) - allowed)
    policy["syscalls"].append({"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    path = plan.state / "explicit-enosys.json"
    path.write_text(json.dumps(policy, indent=1))
    return path
