"""What the two walls are told, held against what was meant: golden files, and the rules that no change may break."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.airlock import inner
from sandbox.client import Limits
from sandbox.host.runtime import base, facts, oci
from sandbox.host.runtime.podman import podman_options
from sandbox.image.cache import Image

GOLDEN = Path(__file__).parent / "golden"
PLAN = base.Plan(Image(Path("/image"), "key"), "systrap", Limits(), Path("/state"))


def outer(cgroup: str | None = "/lazaretto/job") -> dict:
    spec = oci.outer_spec(PLAN, oci.ROOT_MAPPINGS, cgroup)
    spec["linux"]["seccomp"] = "sandbox/image/seccomp.json"  # a file of its own, tested below
    return spec


@pytest.mark.parametrize(("name", "made"), [("inner", inner.inner_spec), ("outer", outer)])
def test_the_specification_is_the_golden_one(name: str, made):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    assert made() == golden, "meant to change? write it anew: python -m tests.sandbox.write_golden"


def test_the_inner_side_holds_no_capability_and_only_what_is_listed():
    spec = inner.inner_spec()
    assert not any(spec["process"]["capabilities"].values())
    assert spec["process"]["noNewPrivileges"]
    assert spec["process"]["user"]["uid"] != 0
    assert spec["root"]["readonly"]
    assert {mount["type"] for mount in spec["mounts"]} == {"proc", "tmpfs"}
    assert [mount["destination"] for mount in spec["mounts"] if "rw" in mount.get("options", [])] == ["/tmp"]


def test_runsc_is_told_to_shut_every_door():
    arguments = inner.runsc_arguments("systrap")
    for flag in ("--network=none", "--host-uds=none", "--directfs=false"):
        assert flag in arguments
    assert not any("unsafe" in argument or "debug" in argument for argument in arguments)


def test_the_outer_side_never_holds_sys_ptrace():
    spec = outer()
    assert "CAP_SYS_PTRACE" not in json.dumps(spec)
    assert set(spec["process"]["capabilities"]["effective"]) == set(base.CAPABILITIES)
    assert spec["process"]["noNewPrivileges"]
    assert spec["root"]["readonly"]


def test_the_outer_root_is_nobody_on_the_host():
    for mapping in (*oci.ROOT_MAPPINGS[0], *oci.ROOT_MAPPINGS[1]):
        assert mapping.host >= oci.FIRST_HOST_ID


def test_the_outer_side_has_every_namespace_of_its_own():
    assert {entry["type"] for entry in outer()["linux"]["namespaces"]} == set(oci.NAMESPACES)


def test_without_cgroups_no_bound_is_asked_that_the_host_cannot_give():
    assert "resources" not in outer(None)["linux"]


def test_a_users_subordinate_ids_are_read_from_subuid(tmp_path: Path, monkeypatch):
    table = tmp_path / "subuid"
    table.write_text("# comment\nother:1:2\nmail:200000:70000\n")
    assert oci._subordinate(table, "mail", 1000) == (oci.Mapping(1, 200000, oci.IDS - 1),)
    assert oci._subordinate(table, "nobody", 1000) == ()
    assert oci._subordinate(tmp_path / "missing", "mail", 1000) == ()


def test_podman_is_told_what_the_specification_says():
    options = podman_options(PLAN, "job", facts.this_host(), frozenset())
    for option in ("--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"):
        assert option in options
    assert f"--security-opt=seccomp={base.SECCOMP}" in options
    assert not any("SYS_PTRACE" in option or "unconfined" in option for option in options)
