"""The seccomp policy in force: in the real outer container, by each runtime that is here, call by call."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.client import Flattened, Limits, SandboxSettings, SandboxUnavailableError
from sandbox.host import choice, service
from sandbox.policy import calls, compose, count
from sandbox.policy.kernel import number_of
from tests.corpus import documents
from tests.e2e import policy_probe
from tests.e2e.engines import docker_engine
from tests.e2e.policy_probe import attempt, run

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]
ENOSYS, EPERM = 38, 1
KILLED, ILLEGAL = 128 + 31, 128 + 4  # by SIGSYS, by SIGILL
MARK = 71  # EPROTO: no call answers so by itself
LAST = 600  # Linux 6.18 ends at 470
X32 = 0x4000_0000
SHORT = replace(Limits(), seconds=30.0, page_seconds=30.0)


@pytest.fixture(scope="module", params=choice.RUNTIMES)
def runtime(request, tmp_path_factory):
    engine = docker_engine(tmp_path_factory.mktemp("docker")) if request.param == "docker" else contextlib.nullcontext()
    with engine:
        try:
            choice.RUNTIMES[request.param]().version()
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{request.param} is not here: {error}")
        yield request.param


@pytest.fixture(scope="module")
def plan():
    state = service.state_directory()
    yield policy_probe.plan(state)
    shutil.rmtree(state, ignore_errors=True)


def with_policy(plan, made: dict):
    path = plan.state / "changed.json"
    path.write_text(compose.text(made))
    return replace(plan, policy=path)


def refusals(runtime: str) -> set[int]:
    """Docker 20.10 does not read the policy's errno."""
    return {ENOSYS, EPERM} if runtime == "docker" else {ENOSYS}


NUMBERS = {number_of(call.name) for call in calls.CALLS}
# uretprobe and uprobe: since Linux 6.14 and 6.18 the kernel lets them past every filter, since it puts them into traced
# programs itself. From anywhere else than its own trampoline they do nothing but fail
UNFILTERED = {335, 336}
OUTSIDE = [(number, (0, 0, 0, 0, 0, 0)) for number in range(LAST) if number not in NUMBERS | UNFILTERED]


def test_no_call_outside_the_list_can_be_made(runtime: str, plan):
    answers = attempt(runtime, plan, OUTSIDE)
    assert len(answers) == LAST - len(calls.CALLS) - len(UNFILTERED)
    allowed = [count.name_of(answer.number) for answer in answers if answer.returned != -1]
    assert allowed == []
    assert {answer.errno for answer in answers} <= refusals(runtime)


@pytest.mark.parametrize("number", sorted(UNFILTERED))
def test_what_the_kernel_lets_past_every_filter_does_nothing(number: int, plan):
    status, output, _ = run("runc", plan, policy_probe.PROGRAM, json.dumps([[number, []]]))
    if status == 0:
        assert json.loads(output.splitlines()[0])[2] == -1
    else:
        assert (status, output) == (ILLEGAL, "")


def test_it_is_the_policy_that_refuses_them(plan):
    """Told to answer with another error, it does: none was the kernel's own ENOSYS."""
    marked = with_policy(plan, {**compose.policy(calls.CALLS), "defaultErrnoRet": MARK})
    errors = {answer.number: answer.errno for answer in attempt("runc", marked, OUTSIDE)}
    newest = max(NUMBERS)  # runc answers ENOSYS for all above it, whatever the policy says
    assert {errno for number, errno in errors.items() if number < newest} == {MARK}
    assert {errno for number, errno in errors.items() if number > newest} <= {MARK, ENOSYS}


# each of these exists, and would do or tell something, were it not refused by its arguments
FORBIDDEN = {
    "arch_prctl": [(0x1001,), (0x1003,), (0x1011,), (0x2001,), (0x2003,), (0x4001,)],  # GS, get FS, CPUID, vDSO, LAM
    "clone": [(flag | 17,) for flag in (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000)]
    + [(0x4000_0000 | 17,), (0x7E02_0000 | 17,), (0x1402_0000 | 17,), (0x3002_0000 | 17,)],
    "fallocate": [(1, 0), (1, 8), (1, 16), (1, 32)],
    "fchown": [(0, 0, 0), (0, 0, 65534), (0, 65534, 0)],
    "fcntl": [(0, command) for command in (0, 5, 6, 7, 8, 9, 10, 15, 36, 37, 38, 1024, 1026, 1030, 1031, 1034, 1036)],
    "futex": [(0, operation) for operation in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x86, 0x89, 0x100, 0x109)],
    "madvise": [(0, 0, advice) for advice in (0, 1, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 21, 22, 25, 100, 101)],
    "memfd_create": [(0, 4), (0, 8), (0, 16)],
    "mount": [(0, 0, 0, flags) for flags in (0, 1, 0x2, 0x6, 0xC, 0x20, 0x2000, 0x4_0000, 0x8_0000, 0x10_0000, 0x10_000E)],
    "pipe2": [(0, 0x80), (0, 0x4000)],  # watch queues, packets
    "prctl": [(option,) for option in (2, 3, 4, 10, 13, 15, 22, 28, 29, 33, 35, 36, 39, 40, 53, 55, 59, 62, 64, 65)]
    + [(0x5961_6D61,), (0x5356_4D41,)],  # Yama's ptracer, names of memory
    "ptrace": [(request,) for request in (0, 1, 2, 3, 4, 5, 6, 8, 9, 12, 13, 14, 15, 18, 19, 24, 30, 32)]
    + [(request,) for request in range(0x4200, 0x4213) if request not in {0x4200, 0x4201, 0x4202, 0x4204, 0x4205, 0x420B}],
    "seccomp": [(0, 0), (1, 2), (1, 4), (1, 8, 1), (1, 9, 0), (1, 16), (1, 32), (3, 0)],
    "setgid": [(1,), (1000,), (65533,), (2_000_000_000,)],
    "setuid": [(1,), (1000,), (65533,), (2_000_000_000,)],
    "socket": [(family, 1, 0) for family in range(50) if family != 1],
    "socketpair": [(family, 1, 0, 0) for family in range(50) if family != 1],
    "umount2": [(0, 0), (0, 1), (0, 4), (0, 8), (0, 3)],
}  # fmt: skip


def test_each_call_that_has_forms_is_tried_in_others():
    assert set(FORBIDDEN) == {call.name for call in calls.CALLS if call.forms}
    for call in calls.CALLS:
        for arguments in FORBIDDEN.get(call.name, ()):
            assert not call.admits((*arguments, 0, 0, 0, 0, 0, 0)[:6])


def test_no_form_of_a_call_but_those_listed_can_be_made(runtime: str, plan):
    tried = [(number_of(name), arguments) for name, rows in FORBIDDEN.items() for arguments in rows]
    answers = attempt(runtime, plan, tried)
    allowed = [answer for answer in answers if answer.returned != -1 or answer.errno not in refusals(runtime)]
    assert allowed == []


def test_the_upper_half_of_a_register_opens_nothing(plan):
    """The kernel reads an int where the filter compares 64 bits, or the other way round."""
    high = 1 << 40
    tried = [
        ("socket", (high | 2, 1, 0)),
        ("prctl", (high | 4,)),
        ("clone", (high | 0x1000_0011,)),
        ("futex", (0, high | 6)),
    ]
    answers = attempt("runc", plan, [(number_of(name), arguments) for name, arguments in tried])
    assert {(answer.returned, answer.errno) for answer in answers} == {(-1, ENOSYS)}


def test_the_probe_can_do_what_is_allowed(runtime: str, plan):
    """Or it would prove nothing that the others are refused."""
    tried = [("getuid", ()), ("socket", (1, 1, 0)), ("prctl", (1, 9)), ("fcntl", (0, 1)), ("futex", (0, 0x81))]
    answers = attempt(runtime, plan, [(number_of(name), arguments) for name, arguments in tried])
    assert all(answer.returned >= 0 for answer in answers)


@pytest.mark.parametrize("number", [0, 39, 101, 512, 520, 521, 545])
def test_a_call_of_the_x32_abi_kills(number: int, runtime: str, plan):
    status, output, _ = run(runtime, plan, policy_probe.PROGRAM, json.dumps([[X32 | number, []]]))
    assert (status, output) == (KILLED, "")


def test_a_call_by_the_32_bit_gate_kills(runtime: str, plan):
    status, output, _ = run(runtime, plan, policy_probe.INT_0X80)
    assert (status, output) == (KILLED, "trying\n")


def canary(runtime: str, platform: str, plan) -> str:
    """ "" where a sandbox came up and flattened a page, else what was said."""
    started = replace(plan, platform=platform, limits=SHORT)
    settings = SandboxSettings(limits=SHORT)
    output = plan.state / "canary.pdf"
    try:
        result = service.flatten_with(choice.RUNTIMES[runtime](), started, documents.pdf(), output, settings=settings)
    except SandboxUnavailableError as error:
        return str(error)
    return "" if isinstance(result, Flattened) else result.reason


def without(name: str) -> dict:
    return compose.policy(call for call in calls.CALLS if call.name != name)


@pytest.mark.parametrize("platform", choice.PLATFORMS)
def test_gvisor_starts_under_our_policy(runtime: str, platform: str, plan):
    assert canary(runtime, platform, plan) == ""


@pytest.mark.parametrize("platform", choice.PLATFORMS)
def test_gvisor_does_not_start_under_a_policy_without_ptrace(platform: str, plan):
    """What an engine did whose default left ptrace out: with it alone gone, neither platform comes up."""
    assert "did not start" in canary("runc", platform, with_policy(plan, without("ptrace")))


def test_gvisor_does_not_start_where_no_namespace_may_be_made(plan):
    """What Docker's default does to a container without CAP_SYS_ADMIN, in every version: clone with no CLONE_NEW flag."""
    made = without("clone")
    clone = next(call for call in calls.CALLS if call.name == "clone")
    plain = replace(clone, forms=clone.forms[:1])
    made["syscalls"] += compose.policy([plain])["syscalls"]
    assert "did not start" in canary("runc", "systrap", with_policy(plan, made))


@pytest.mark.skipif(not count.PODMAN.exists(), reason="Podman's default policy is not here")
def test_what_gvisor_needs_podmans_default_has_and_three_hundred_calls_more(plan):
    stock = json.loads(count.PODMAN.read_text())
    assert count.count(stock, ()).total > 300
    assert canary("podman", "systrap", replace(plan, policy=count.PODMAN)) == ""


@pytest.mark.parametrize("platform", choice.PLATFORMS)
def test_an_engine_that_answers_eperm_for_enosys_starts_it_too(platform: str, plan):
    """Podman before 4.0 and Docker 20.10 do not read the policy's errno."""
    eperm = with_policy(plan, {**compose.policy(calls.CALLS), "defaultErrnoRet": EPERM})
    assert canary("runc", platform, eperm) == ""


def test_the_policy_in_force_is_the_one_written(plan):
    assert plan.policy.read_text() == compose.text(compose.policy(calls.CALLS))
    assert plan.policy == Path(plan.policy).resolve()
