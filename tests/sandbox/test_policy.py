"""The seccomp policy as a file: what it is made from, what was learnt, what no change may let in."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.host.runtime import base
from sandbox.policy import __main__ as command
from sandbox.policy import calls, compose, count, kernel, learn
from sandbox.policy.calls import Argument, Call, Form

POLICY = json.loads(base.SECCOMP.read_text())
CALLS = {call.name: call for call in calls.CALLS}
SEEN = learn.read(command.SEEN)
MOST = 100
# not seen in every run, or never, and here by reason
RARE = {
    "exit": "a thread that ends alone; the runs end with their processes",
    "restart_syscall": "a wait must be stopped at the right moment",
}
RARE_FORMS = {
    "ptrace GETEVENTMSG": "how a stub ended that nobody killed",
}
ESCAPES = """acct add_key adjtimex bpf clock_settime clone3 delete_module execveat fanotify_init finit_module fsconfig
    fsmount fsopen init_module io_setup io_uring_enter io_uring_register io_uring_setup ioctl ioperm iopl kcmp
    kexec_file_load kexec_load keyctl landlock_create_ruleset link linkat lookup_dcookie mbind memfd_secret
    migrate_pages mknod mknodat modify_ldt mount_setattr move_mount move_pages name_to_handle_at open_by_handle_at
    open_tree openat2 perf_event_open personality pidfd_getfd pidfd_open process_madvise process_vm_readv
    process_vm_writev quotactl reboot renameat2 request_key sched_setattr sendfile set_mempolicy sethostname setns
    setsockopt shmget splice swapon symlinkat sysfs syslog tee timer_create unshare userfaultfd uselib vfork vmsplice"""


def test_the_file_is_what_is_written_from_the_calls():
    written = compose.text(compose.policy(calls.CALLS))
    assert base.SECCOMP.read_text() == written, "meant to change? write it anew: python -m sandbox.policy write"


def test_a_call_that_the_policy_does_not_name_does_not_exist():
    assert POLICY["defaultAction"] == "SCMP_ACT_ERRNO"
    assert POLICY["defaultErrnoRet"] == 38  # ENOSYS: what makes libc and Go fall back
    assert POLICY["architectures"] == ["SCMP_ARCH_X86_64"]
    assert "listenerPath" not in POLICY
    assert "flags" not in POLICY


def test_the_rules_are_sorted_and_each_has_its_reason():
    names = [rule["names"] for rule in POLICY["syscalls"]]
    assert names == sorted(names)
    assert {len(name) for name in names} == {1}
    for rule in POLICY["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW"
        assert rule["comment"]
        indexes = [condition["index"] for condition in rule.get("args", ())]
        # runc takes two conditions on one argument for alternatives, crun for both at once
        assert len(indexes) == len(set(indexes))


def test_a_call_is_allowed_in_any_form_or_in_those_listed_but_not_both():
    for call in calls.CALLS:
        rules = [rule for rule in POLICY["syscalls"] if rule["names"] == [call.name]]
        assert len(rules) == max(1, len(call.forms))
        assert all("args" in rule for rule in rules) or len(rules) == 1


def test_the_policy_is_small_and_as_small_as_the_readmes_say():
    assert len(CALLS) == len(calls.CALLS) <= MOST
    size = count.count(POLICY, base.CAPABILITIES)
    assert (size.total, size.conditional) == (len(CALLS), sum(bool(call.forms) for call in calls.CALLS))
    root = (base.SECCOMP.parents[2] / "README.md").read_text()
    assert f"a seccomp policy of {size.total} calls" in root
    ours = (base.SECCOMP.parents[1] / "README.md").read_text()
    assert re.findall(r"(\d+) calls, (\d+) of them in listed forms only", ours) == [
        (str(size.total), str(size.conditional))
    ]
    assert set(re.findall(r"the kernel by (\d+) calls", ours)) == {str(size.total)}


@pytest.mark.parametrize("call", ESCAPES.split())
def test_what_escapes_are_made_of_is_not_allowed(call: str):
    assert call not in CALLS


def test_what_means_different_things_by_its_arguments_has_its_forms():
    for name in ("clone", "fcntl", "futex", "madvise", "mount", "prctl", "ptrace", "seccomp", "socket", "socketpair"):
        assert CALLS[name].forms


def test_ptrace_reaches_own_children_only_by_requests_that_neither_read_nor_write_memory():
    requests = {argument.value for form in CALLS["ptrace"].forms for argument in form.arguments}
    assert requests  # gVisor starts on neither platform without
    assert not requests & {1, 2, 4, 5, 0x4206}  # PEEKTEXT, PEEKDATA, POKETEXT, POKEDATA, SEIZE
    assert "CAP_SYS_PTRACE" not in base.CAPABILITIES


def test_no_form_of_seccomp_makes_a_listener():
    assert not CALLS["seccomp"].admits((1, 8, 0x7F00_0000_0000, 0, 0, 0))
    assert not CALLS["seccomp"].admits((1, 9, 0, 0, 0, 0))


def test_everything_that_was_learnt_is_allowed_or_left_out_with_a_reason():
    for where, seen in SEEN.items():
        assert seen.news() == set(), where


def test_everything_allowed_was_seen_or_has_a_reason_to_be_rare():
    seen = set().union(*(seen.calls for seen in SEEN.values()))
    assert set(CALLS) - seen <= set(RARE)


def test_every_form_was_seen_or_has_a_reason_to_be_rare():
    rows = {name: set().union(*(seen.arguments.get(name, set()) for seen in SEEN.values())) for name in CALLS}
    for name, call in CALLS.items():
        for form in call.forms:
            fits = any(form.admits(learn.spread(name, row)) for row in rows[name])
            assert fits or f"{name} {form.what}" in RARE_FORMS or form in FORMS_OF_DOCKER


# Docker 20.10 cannot notify, so that it was seen that calls did not fit, and by hand how they were made
FORMS_OF_DOCKER = {CALLS["clone"].forms[-1], CALLS["setuid"].forms[-1], CALLS["setgid"].forms[-1]}


def test_it_was_learnt_on_an_engine_of_each_kind_and_both_platforms():
    # Podman started its containers by runc; runc alone was run too, but its record is not kept yet
    engines = ("crun", "podman", "docker")
    assert {f"{engine}+{platform}" for engine in engines for platform in ("systrap", "ptrace")} <= set(SEEN)
    assert all(seen.documents >= 13 for seen in SEEN.values())


def test_what_is_left_out_is_not_allowed():
    assert not set(calls.LEFT_OUT) & set(CALLS)


def test_an_argument_is_compared_whole_or_by_its_mask():
    assert Argument(0, 1).admits(1)
    assert not Argument(0, 1).admits(1 << 32 | 1)
    assert Argument(0, 2, 0xF).admits(0x12)
    assert not Argument(0, 2, 0xF).admits(0x13)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6), st.permutations(sorted(CALLS)))
def test_a_rule_of_the_file_says_what_its_form_says(given_arguments: list[int], names: list[str]):
    name, arguments = names[0], tuple(given_arguments)
    rules = [rule for rule in POLICY["syscalls"] if rule["names"] == [name]]
    assert any(_admits(rule, arguments) for rule in rules) == CALLS[name].admits(arguments)


def _admits(rule: dict, given_arguments: tuple[int, ...]) -> bool:
    """As libseccomp reads it."""
    for condition in rule.get("args", ()):
        value = given_arguments[condition["index"]]
        if condition["op"] == "SCMP_CMP_MASKED_EQ":
            if value & condition["value"] != condition["valueTwo"]:
                return False
        elif value != condition["value"]:
            return False
    return True


def test_the_policy_that_learns_lets_all_through_but_what_is_left_out():
    made = compose.log_policy([Call("read", "because")], {"mincore"})
    assert made["defaultAction"] == "SCMP_ACT_LOG"
    assert made["syscalls"] == [
        {"names": ["mincore"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "because"},
    ]


def test_the_policy_that_notifies_shows_the_calls_that_have_forms():
    form = Form("one", (Argument(0, 1),))
    made = compose.notify_policy([Call("read", "because"), Call("kill", "because", (form,))], (), "/listener")
    assert made["listenerPath"] == "/listener"
    assert made["syscalls"] == [{"names": ["kill"], "action": "SCMP_ACT_NOTIFY"}]


def test_what_is_new_is_told_by_name_or_by_its_arguments():
    seen = learn.Seen("1", 1, {"read", "reboot", "mincore"}, {"socket": {(1,), (2,)}}, {"clone"})
    assert seen.news() == {"reboot", "socket('0x2',)", "clone in another form"}


def test_what_was_learnt_is_read_as_it_was_written(tmp_path):
    seen = learn.Seen("runc 1", 2, {"write", "read"}, {"socket": {(2,), (1,)}}, {"clone"})
    learn.write(tmp_path / "seen.json", {"runc+systrap": seen})
    other = learn.Seen("crun 1", 1, {"read"})
    learn.write(tmp_path / "seen.json", {"crun+systrap": other})
    assert learn.read(tmp_path / "seen.json") == {"runc+systrap": seen, "crun+systrap": other}


LINE = (
    '5,1,2,-;audit: type=1326 audit(1.2:3): auid=1 uid=0 gid=0 ses=1 pid=9 comm="exe" exe="/usr/bin/runsc" sig=0 '
    "arch=c000003e syscall=41 compat=0 ip=0x1 code=0x7ffc0000"
)


def test_a_logged_call_is_found_in_the_kernels_log():
    assert kernel.LOGGED.search(LINE)[1] == "41"


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace("0x7ffc0000", "0x80000000"),  # killed by a filter of gVisor's own
        LINE.replace("c000003e", "40000003"),
        LINE.replace("type=1326", "type=1400"),
    ],
)
def test_what_is_no_logged_call_of_ours_is_passed_over(line: str):
    assert not kernel.LOGGED.search(line)


def test_numbers_and_names_are_those_of_x86_64():
    assert kernel.number_of("read") == 0
    assert kernel.number_of("ptrace") == 101
    assert kernel.number_of("_llseek") is None
    assert kernel.name_of(101) == "ptrace"
    assert kernel.name_of(9999) == "call 9999"


def rule(*names: str, action: str = "ALLOW", **more) -> dict:
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


CONDITION = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]


@pytest.mark.parametrize(
    ("rules", "capabilities", "expected"),
    [
        ([rule("read", "write")], (), (2, 0)),
        ([rule("read", args=CONDITION), rule("read", args=CONDITION)], (), (0, 1)),
        ([rule("read", args=CONDITION), rule("read")], (), (1, 0)),
        ([rule("read", args=None)], (), (1, 0)),
        ([rule("_llseek", "no_such_call", "read")], (), (1, 0)),
        ([rule("mseal")], (), (1, 0)),  # newer than libseccomp 2.5.4
        ([rule("read", action="ERRNO"), rule("write", action="TRAP")], (), (0, 0)),
        ([rule("mount", includes={"caps": ["CAP_SYS_ADMIN"]})], (), (0, 0)),
        ([rule("mount", includes={"caps": ["CAP_SYS_ADMIN"]})], ("CAP_SYS_ADMIN",), (1, 0)),
        ([rule("clone", args=CONDITION, excludes={"caps": ["CAP_SYS_ADMIN"]})], ("CAP_SYS_ADMIN",), (0, 0)),
        ([rule("arch_prctl", includes={"arches": ["amd64", "x32"]})], (), (1, 0)),
        ([rule("read", includes={"arches": ["arm"]})], (), (0, 0)),
        ([rule("ptrace", includes={"minKernel": "4.8"})], (), (1, 0)),
        ([{"name": "read", "action": "SCMP_ACT_ALLOW"}], (), (1, 0)),  # as Docker once wrote it
    ],
)
def test_policies_of_every_make_are_counted_the_same_way(rules, capabilities, expected):
    size = count.count({"syscalls": rules}, capabilities)
    assert (size.unconditional, size.conditional) == expected


def test_ours_is_the_smallest_of_the_table_by_far():
    ours, *others = count.table()
    assert ours.size.total <= MOST
    assert others
    assert all(row.size.total > 3 * ours.size.total and row.counted for row in others)
