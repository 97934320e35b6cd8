"""What a sandbox has used: a real process tree counted, cgroup files read, and the watch that acts on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import contract
from sandbox.client import Limits
from sandbox.host import meter
from sandbox.host.job import Watch
from sandbox.host.meter import CgroupMeter, TreeMeter, Usage
from sandbox.host.runtime.base import OuterContainer

MIB = 1024 * 1024
# a parent whose child holds 40 MiB, of which 20 in a memory file of gVisor's name, and burns a little time
TREE = f"""
import os, subprocess, sys, time
child = '''
import os, sys
memory = os.memfd_create("runsc-memory")
os.write(memory, b"x" * {20 * MIB})
private = bytearray(os.urandom(1) * {20 * MIB})
number = sum(range(4000000))
print("up", flush=True)
sys.stdin.read()
'''
held = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE)
sys.stdin.read()
held.communicate()
"""


@pytest.fixture
def tree():
    started = subprocess.Popen([sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdout
    assert started.stdout.readline() == b"up\n"
    yield started
    started.communicate()


def test_a_tree_is_counted_with_its_memory_file_and_its_time(tree):
    usage = TreeMeter(lambda: tree.pid).read()
    assert usage is not None
    assert 40 * MIB < usage.memory < 120 * MIB
    assert usage.cpu > 0.02


def test_where_the_memory_file_is_not_to_be_seen_what_is_mapped_of_it_counts(monkeypatch, tmp_path: Path):
    for pid, anonymous, shared in ((1, 10, 100), (2, 20, 300), (3, 30, 500)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(
            f"RssAnon:\t{anonymous} kB\nRssFile:\t7 kB\nRssShmem:\t{shared} kB\n"
        )
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a b) S " + " ".join(["0"] * 10) + " 50 50 0 0 0\n")
    monkeypatch.setattr(meter, "PROC", tmp_path)
    monkeypatch.setattr(meter, "descendants", lambda first: range(first, first + 4))
    usage = TreeMeter(lambda: 1).read()
    # the private pages of all, and of the mapped ones the sentry's or the others', whichever is more
    assert usage == Usage((60 + 500) * 1024, 300 / meter.TICK)


def test_a_container_that_is_not_there_has_no_usage(tree):
    assert TreeMeter(lambda: None).read() is None
    assert TreeMeter(lambda: 2**22 + 1).read() is None
    assert CgroupMeter("lazaretto/none-of-this-name").read() is None


def test_a_process_in_our_own_group_or_in_the_root_group_has_none_of_its_own(monkeypatch, tmp_path: Path):
    for pid, group in (("self", "/service"), ("10", "/service"), ("11", "/"), ("12", "/lazaretto/job")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(f"4:memory:{group}\n0::/\n")
    monkeypatch.setattr(meter, "PROC", tmp_path)
    monkeypatch.setattr(meter, "cgroup_mode", lambda _: "hybrid")
    assert [meter.own_cgroup(pid) for pid in (10, 11, 12, 13)] == ["", "", "/lazaretto/job", ""]


def test_a_version_1_group_tells_its_peak(monkeypatch, tmp_path: Path):
    for controller, name, text in (
        ("memory", "memory.max_usage_in_bytes", "12345678\n"),
        ("cpuacct", "cpuacct.usage", "2500000000\n"),
    ):
        (tmp_path / controller / "lazaretto/job").mkdir(parents=True)
        (tmp_path / controller / "lazaretto/job" / name).write_text(text)
    monkeypatch.setattr(meter, "CGROUPS", tmp_path)
    assert CgroupMeter("/lazaretto/job").read() == Usage(12345678, 2.5)


def test_a_version_2_group_tells_its_peak_or_what_it_has_now(monkeypatch, tmp_path: Path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    group = tmp_path / "job"
    group.mkdir()
    (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n")
    (group / "memory.current").write_text("100\n")
    monkeypatch.setattr(meter, "CGROUPS", tmp_path)
    assert CgroupMeter("/job").read() == Usage(100, 1.5)
    (group / "memory.peak").write_text("200\n")
    assert CgroupMeter("/job").read() == Usage(200, 1.5)


class Fixed:
    def __init__(self, usage: Usage | None) -> None:
        self._usage = usage

    def read(self) -> Usage | None:
        return self._usage


def watch(usage: Usage | None, **limits) -> Watch:
    process = subprocess.Popen(["sleep", "60"])
    container = OuterContainer(process, process.kill, Fixed(usage))
    made = Watch(container, replace(Limits(), **limits))
    end = time.monotonic() + 5
    while not made.killed and time.monotonic() < end and usage:
        time.sleep(0.05)
    made.stop()
    container.destroy()
    return made


def test_more_memory_than_the_bound_ends_a_container_that_no_cgroup_bounds():
    assert watch(Usage(2001, 0.0), memory_bytes=2000).killed == contract.OUT_OF_MEMORY


def test_more_processor_time_than_the_bound_ends_it():
    assert watch(Usage(1, 4.5), cpu_seconds=4.0).killed == contract.DEADLINE


def test_a_peak_at_the_bound_is_remembered_without_a_kill_of_ours():
    process = subprocess.Popen(["sleep", "60"])
    container = OuterContainer(process, process.kill, Fixed(Usage(1990, 0.0)))
    made = Watch(container, replace(Limits(), memory_bytes=2000))
    assert made.look() == ""
    assert made.memory_was_full
    made.stop()
    container.destroy()


def test_a_container_without_a_meter_is_bound_by_time_alone():
    assert watch(None).killed == ""


def test_our_own_figures_are_plausible():
    usage = TreeMeter(os.getpid).read()
    assert usage is not None
    assert usage.memory > 10 * MIB
