"""The version table against recorded answers of engines and hosts that are not here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.client import Limits
from sandbox.host.runtime import base, docker, facts, policies, quirks
from sandbox.host.runtime.facts import Host, cgroup_mode, numbers
from sandbox.host.runtime.podman import podman_options
from sandbox.host.runtime.quirks import Effect
from sandbox.image.cache import Image

USUAL = Host(root=True, kernel=(6, 1), cgroups="v2", ptrace_scope=1, selinux=False, userns_restricted=False)
A_USER = replace(USUAL, root=False)
PLAN = base.Plan(Image(Path("/image"), "key"), "systrap", Limits(), Path("/state"))


def engine(**server: object) -> str:
    return json.dumps({"Client": {"Version": "28.2.2"}, "Server": server})


# what `docker version --format={{json .}}` answers, as far as it is read
DEBIAN_12 = engine(Version="20.10.24+dfsg1", Components=[{"Name": "Engine", "Version": "20.10.24+dfsg1"}])
DESKTOP = engine(
    Platform={"Name": "Docker Desktop 4.42.0 (195023)"},
    Version="28.2.2",
    Components=[{"Name": "Engine", "Version": "28.2.2"}, {"Name": "containerd", "Version": "1.7.27"}],
)
OLD_DESKTOP = engine(Platform={"Name": "Docker Desktop 4.26.1 (131620)"}, Version="24.0.7", Components=None)


@pytest.mark.parametrize(
    ("answer", "version"), [(DEBIAN_12, (20, 10, 24)), (DESKTOP, (28, 2, 2)), (OLD_DESKTOP, (24, 0, 7))]
)
def test_docker_is_judged_by_its_engine(answer: str, version: tuple[int, ...]):
    assert numbers(docker.engine_version(answer)) == version


@pytest.mark.parametrize("answer", ["", "null", "{}", '{"Client":{"Version":"28.2.2"},"Server":null}'])
def test_a_client_without_an_engine_is_no_engine(answer: str):
    with pytest.raises(OSError, match="no version"):
        docker.engine_version(answer)


RECORDED = {
    "podman version 3.4.4": (3, 4, 4),
    "podman version 4.3.1": (4, 3, 1),
    "podman version 5.4.2": (5, 4, 2),
    "runc version 1.1.5+ds1": (1, 1, 5),
    "crun version 1.8.1": (1, 8, 1),
    "Docker Engine 20.10.24+dfsg1": (20, 10, 24),
    "6.6.87.2-microsoft-standard-WSL2": (6, 6, 87, 2),
    "": (),
}


@pytest.mark.parametrize("answer", RECORDED)
def test_a_version_is_read_from_what_the_program_says(answer: str):
    assert numbers(answer) == RECORDED[answer]


@pytest.mark.parametrize(
    ("runtime", "version", "host", "expected"),
    [
        ("podman", (3, 4, 4), USUAL, {Effect.EXPLICIT_ENOSYS}),
        ("podman", (4, 0, 0), USUAL, set()),
        ("podman", (4, 0, 0), A_USER, set()),
        ("podman", (4, 1, 0), A_USER, {Effect.NOMAP}),
        ("podman", (), A_USER, {Effect.NOMAP}),
        ("podman", (5, 4, 2), replace(A_USER, selinux=True), {Effect.NOMAP, Effect.LABEL}),
        ("docker", (28, 2, 2), replace(USUAL, selinux=True), {Effect.LABEL, Effect.NOTHING}),
        ("runc", (1, 1, 5), replace(USUAL, cgroups="hybrid"), set()),
        ("crun", (1, 8, 1), replace(USUAL, cgroups="hybrid"), {Effect.HIDE_UNIFIED}),
        ("crun", (1, 8, 1), USUAL, set()),
        ("crun", (1, 8, 1), replace(A_USER, cgroups="hybrid"), {Effect.ADVICE}),
    ],
)
def test_the_table_changes_what_is_meant(runtime: str, version: tuple[int, ...], host: Host, expected: set[Effect]):
    assert quirks.effects(runtime, version, host) == expected


def test_dockers_default_policy_is_never_relied_on_whatever_the_version():
    for version in ((20, 10, 24), (24, 0, 9), (25, 0, 0), (28, 2, 2)):
        assert any("ours is given always" in row.why for row in quirks.rows("docker", version, USUAL))
        options = docker.docker_options(PLAN, "job", quirks.effects("docker", version, USUAL))
        assert f"--security-opt=seccomp={base.SECCOMP}" in options
        assert "--cap-drop=all" in options
        assert not any("cap-add" in option for option in options)


@pytest.mark.parametrize(("scope", "told"), [(0, ""), (1, ""), (2, "ptrace_scope to 1"), (3, "boot with")])
@pytest.mark.parametrize("runtime", quirks.EVERY)
def test_yamas_scopes_that_stop_gvisor_are_told_and_the_default_is_not(runtime: str, scope: int, told: str):
    advice = quirks.advice(runtime, (9,), replace(USUAL, ptrace_scope=scope))
    assert told in advice
    assert bool(advice) == bool(told)


def test_apparmors_restriction_is_told_to_ordinary_users_of_runc_only():
    restricted = replace(A_USER, userns_restricted=True)
    assert "apparmor_restrict_unprivileged_userns" in quirks.advice("runc", (1, 2), restricted)
    assert quirks.advice("podman", (5, 0), restricted) == ""
    assert quirks.advice("runc", (1, 2), replace(restricted, root=True)) == ""


def test_podmans_arguments_follow_the_table(tmp_path: Path):
    plan = replace(PLAN, state=tmp_path)
    old = podman_options(plan, "job", USUAL, frozenset({Effect.EXPLICIT_ENOSYS}))
    assert f"--security-opt=seccomp={tmp_path}/explicit-enosys.json" in old
    rootless = podman_options(plan, "job", A_USER, frozenset({Effect.NOMAP, Effect.LABEL}))
    assert "--userns=nomap" in rootless
    assert "--security-opt=label=type:container_engine_t" in rootless
    assert not any(option.startswith(("--uidmap", "--memory")) for option in rootless)
    usual = podman_options(plan, "job", USUAL, frozenset())
    assert "--uidmap=0:2000000000:65536" in usual
    assert not any("nomap" in option or "label" in option for option in usual)


def test_the_explicit_policy_refuses_newer_calls_by_name_and_none_that_is_allowed(tmp_path: Path):
    ours = json.loads(base.SECCOMP.read_text())
    written = json.loads(policies.with_explicit_enosys(replace(PLAN, state=tmp_path)).read_text())
    assert written["syscalls"][:-1] == ours["syscalls"]
    added = written["syscalls"][-1]
    assert (added["action"], added["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert {"clone3", "openat2", "faccessat2", "rseq"} <= set(added["names"])
    assert not set(added["names"]) & {name for rule in ours["syscalls"] for name in rule["names"]}


def test_every_row_gives_a_reason_and_a_source():
    for row in quirks.TABLE:
        assert row.why
        assert row.source
        assert set(row.host) <= set(Host.__dataclass_fields__)


@pytest.mark.parametrize(
    ("made", "mode"),
    [
        (("cgroup.controllers=cpu memory pids",), "v2"),
        (("memory/", "pids/", "unified/cgroup.controllers=hugetlb"), "hybrid"),
        (("memory/", "pids/", "unified/cgroup.controllers="), "v1"),
        (("memory/", "pids/"), "v1"),
        ((), "none"),
    ],
)
def test_the_way_cgroups_are_mounted_is_told_apart(tmp_path: Path, made: tuple[str, ...], mode: str):
    for entry in made:
        name, _, text = entry.partition("=")
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if entry.endswith("/") else path.write_text(text)
    assert cgroup_mode(tmp_path) == mode


def test_this_host_is_read_without_an_error():
    assert facts.this_host().kernel >= (4, 8)
