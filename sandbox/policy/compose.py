"""Calls -> policies in the form that runc, crun, Podman and Docker read; pure: values in, values out.

One rule holds one form of one call. Rules with the same call are alternatives to every runtime; two conditions on the
same argument in one rule are not (runc makes alternatives of them, crun does not), so there are never any.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sandbox.policy.calls import Argument, Call

ENOSYS = 38  # not EPERM: libc and Go then fall back to an older call
ARCHITECTURES = ["SCMP_ARCH_X86_64"]  # calls of 32-bit programs, and x32's, are no calls at all
ALLOW, ERRNO, LOG, NOTIFY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"


def policy(calls: Iterable[Call]) -> dict[str, Any]:
    """What is not named does not exist. Sorted by call, each with its reason."""
    return {
        "defaultAction": ERRNO,
        "defaultErrnoRet": ENOSYS,
        "architectures": ARCHITECTURES,
        "syscalls": _rules(calls),
    }


def log_policy(calls: Iterable[Call], refused: Collection[str]) -> dict[str, Any]:
    """The same, but what is neither named nor `refused` is let through and written to the kernel's log."""
    return {
        "defaultAction": LOG,
        "architectures": ARCHITECTURES,
        "syscalls": [*_refuse(refused), *_rules(calls)],
    }


def notify_policy(calls: Iterable[Call], refused: Collection[str], listener: str) -> dict[str, Any]:
    """Calls that have forms are shown to a listener, with their arguments; all else but `refused` is let through."""
    named = sorted(call.name for call in calls if call.forms)
    return {
        "defaultAction": ALLOW,
        "architectures": ARCHITECTURES,
        "listenerPath": listener,
        "syscalls": [*_refuse(refused), {"names": named, "action": NOTIFY}],
    }


def _refuse(names: Collection[str]) -> list[dict[str, Any]]:
    return [{"names": sorted(names), "action": ERRNO, "errnoRet": ENOSYS}] if names else []


def text(made: dict[str, Any]) -> str:
    """A policy as a file: a rule a line, so that a change of one call is a change of its lines only."""
    rules = ",\n".join("  " + json.dumps(rule) for rule in made["syscalls"])
    head = json.dumps({key: value for key, value in made.items() if key != "syscalls"}, indent=1)
    return f'{head[:-2]},\n "syscalls": [\n{rules}\n ]\n}}\n'


def _rules(calls: Iterable[Call]) -> list[dict[str, Any]]:
    return [rule for call in sorted(calls, key=lambda call: call.name) for rule in _rules_of(call)]


def _rules_of(call: Call) -> list[dict[str, Any]]:
    if not call.forms:
        return [{"names": [call.name], "action": ALLOW, "comment": call.reason}]
    return [
        {
            "names": [call.name],
            "action": ALLOW,
            "args": [_condition(argument) for argument in form.arguments],
            "comment": f"{call.reason}: {form.what}",
        }
        for form in call.forms
    ]


def _condition(argument: Argument) -> dict[str, Any]:
    if argument.mask is None:
        return {"index": argument.index, "value": argument.value, "op": "SCMP_CMP_EQ"}
    # the specification calls the mask `value` and what must be left of the argument `valueTwo`
    return {
        "index": argument.index,
        "value": argument.mask,
        "valueTwo": argument.value,
        "op": "SCMP_CMP_MASKED_EQ",
    }
