"""What /proc and /sys tell of the host, and what can be changed through them: gVisor's own are shown, not the host's."""

import os
import time
from pathlib import Path

from sandbox.airlock import inner
from tests.security.attempt import Attempt, Evidence

THEME = "/proc and /sys"


def gvisors_kernel(evidence: Evidence) -> str:
    told = " ".join(evidence.facts["kernel"])
    return f"the host's kernel shows: {told}" if os.uname().release in told else ""


def not_the_hosts(evidence: Evidence) -> str:
    """Texts that the host has too, word for word, and which therefore would be its own."""
    for name, text in evidence.facts["texts"].items():
        host = Path(name)
        if text.strip() and host.exists() and host.read_text().strip() == text.strip():
            return f"{name} is the host's: {text[:100]!r}"
    return ""


def no_host_paths(evidence: Evidence) -> str:
    text = "".join(evidence.facts["mounts"].values())
    tell_tales = (
        "/var/",
        "/dev/sd",
        "/dev/vd",
        "/dev/mapper",
        "overlay ",
        "ext4",
        "btrfs",
        "xfs",
        "lowerdir",
        "/run/runsc",
    )
    words = [word for word in tell_tales if word in text]
    return f"mount tables tell of {words}: {text}" if words else ""


def only_its_own(evidence: Evidence) -> str:
    pids = evidence.facts["pids"]
    return "" if pids == ["1"] else f"processes: {pids}"


def only_the_allowed(evidence: Evidence) -> str:
    allowed = set(inner.ENVIRONMENT)
    more = [
        f"{name}={value}" for name, value in evidence.facts["environment"].items() if f"{name}={value}" not in allowed
    ]
    return f"variables that nobody allowed: {more}" if more else ""


def starts_with_the_sandbox(evidence: Evidence) -> str:
    # the host's would be far more than the age of a sandbox, unless it has just booted
    host = time.clock_gettime(time.CLOCK_BOOTTIME)
    told = float(evidence.facts["uptime"])
    return f"the host's uptime shows: {told}" if abs(host - told) < 30 and host > 300 else ""


def not_the_hosts_log(evidence: Evidence) -> str:
    log = evidence.facts["log"]
    return f"kernel log: {log[:200]}" if "Linux version" in log or "systemd" in log else ""


ATTEMPTS = (
    Attempt(
        THEME,
        "processes",
        """
pids = sorted(name for name in os.listdir("/proc") if name.isdigit())
fact("pids", pids)
tried("list processes", "only its own")
for pid in (2, 3, @HOST_PID@):
    for name in ("cmdline", "environ", "root", "cwd", "exe", "fd", "stat", "mountinfo"):
        refused(f"stat /proc/{pid}/{name}", os.stat, f"/proc/{pid}/{name}")
""",
        proof=only_its_own,
    ),
    Attempt(
        THEME,
        "the kernel's version",
        """
tried("ask for the kernel's version", "gVisor's own")
fact("kernel", [*os.uname(), open("/proc/version").read(), open("/proc/sys/kernel/osrelease").read()
                if os.path.exists("/proc/sys/kernel/osrelease") else ""])
""",
        proof=gvisors_kernel,
    ),
    Attempt(
        THEME,
        "texts of the host",
        """
texts = {}
for name in ("/proc/cmdline", "/proc/version", "/proc/mounts", "/proc/self/mountinfo", "/proc/uptime", "/proc/filesystems",
             "/proc/sys/kernel/hostname", "/proc/sys/kernel/random/boot_id", "/proc/modules", "/proc/partitions",
             "/proc/swaps", "/proc/self/cgroup", "/proc/cgroups", "/proc/self/status", "/etc/hostname", "/etc/machine-id",
             "/etc/passwd", "/etc/group", "/etc/os-release", "/proc/net/dev", "/proc/net/arp", "/proc/diskstats"):
    try:
        texts[name] = open(name).read()
        tried(f"read {name}", "gVisor's own")
    except OSError as error:
        tried(f"read {name}", code_of(error))
fact("texts", texts)
""",
        proof=not_the_hosts,
    ),
    Attempt(
        THEME,
        "the kernel's memory and tables",
        """
for name in ("kallsyms", "kcore", "kpagecount", "kpageflags", "config.gz", "iomem", "ioports", "keys", "key-users",
             "slabinfo", "vmallocinfo", "interrupts", "softirqs", "timer_list", "sched_debug", "latency_stats", "mtrr",
             "acpi", "asound", "scsi", "driver", "dma", "devices", "crypto", "buddyinfo", "zoneinfo", "vmstat", "locks",
             "kmsg", "bootconfig", "fb", "misc", "tty"):
    refused(f"stat /proc/{name}", os.stat, f"/proc/{name}")
""",
    ),
    Attempt(
        THEME,
        "mount tables",
        """
names = ("/proc/mounts", "/proc/self/mounts", "/proc/self/mountinfo", "/proc/1/mountinfo", "/proc/1/mounts")
fact("mounts", {name: open(name).read() for name in names})
tried("read the mount tables", "no path of the host")
refused("read another's", open, "/proc/2/mountinfo")
""",
        proof=no_host_paths,
    ),
    Attempt(
        THEME,
        "roots, exe and cwd by magic links",
        """
for place in ("/proc/1/root", "/proc/self/root", "/proc/thread-self/root", "/proc/1/cwd/.."):
    names = sorted(os.listdir(place))
    must(f"list {place}", holds=not {"bundle", "inner", "secret"} & set(names), how="its own root", seen=names)
for place in ("/proc/1/exe", "/proc/self/exe"):
    target = os.readlink(place)
    must(f"readlink {place}", holds=target.startswith("/usr/bin/python"), how="its own program", seen=target)
    refused(f"open {place} for writing", open, place, "r+b")
    refused(f"truncate {place}", os.truncate, place, 0)
    refused(f"open {place} with O_TRUNC", os.open, place, os.O_WRONLY | os.O_TRUNC)
for name in ("/usr/bin/runsc", "/usr/bin/python3", "/lib64/ld-linux-x86-64.so.2"):
    refused(f"write to {name}", os.open, name, os.O_WRONLY)
""",
    ),
    Attempt(
        THEME,
        "settings of the kernel",
        """
def write(place, text):
    with open(place, "w") as file:
        file.write(text)
settings = {"/proc/sys/kernel/core_pattern": "|/tmp/x", "/proc/sys/kernel/hostname": "owned", "/proc/sysrq-trigger": "b",
            "/proc/sys/kernel/modprobe": "/tmp/x", "/proc/sys/vm/drop_caches": "3", "/proc/sys/fs/binfmt_misc/register": ":",
            "/proc/sys/kernel/yama/ptrace_scope": "0", "/proc/sys/kernel/randomize_va_space": "0",
            "/proc/sys/net/ipv4/ip_forward": "1", "/proc/sys/vm/overcommit_memory": "1", "/proc/sys/kernel/sysrq": "1",
            "/proc/sys/user/max_user_namespaces": "0", "/proc/irq/default_smp_affinity": "1", "/proc/bus/pci/00": "1",
            "/proc/sys/kernel/unprivileged_bpf_disabled": "0", "/proc/sys/kernel/dmesg_restrict": "0"}
for place, text in settings.items():
    refused(f"write {place}", write, place, text)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "/sys and its cgroups",
        """
must("list /sys", holds=os.listdir("/sys") == [], how="masked", seen=os.listdir("/sys"))
for place in ("fs/cgroup/release_agent", "fs/cgroup/memory/memory.limit_in_bytes", "fs/cgroup/cgroup.procs", "kernel/uevent_helper",
              "kernel/debug", "kernel/security", "firmware", "class/net", "block", "module", "kernel/mm/ksm/run", "power/state"):
    refused(f"open /sys/{place}", os.open, f"/sys/{place}", os.O_RDONLY)
refused("make a cgroup", os.mkdir, "/sys/fs")
text = open("/proc/self/cgroup").read() if os.path.exists("/proc/self/cgroup") else ""
must("read its cgroup", holds="lazaretto" not in text and "libpod" not in text and "docker" not in text, how="no name of the host's", seen=text)
""",
    ),
    Attempt(
        THEME,
        "its own bounds on itself",
        """
def write(place, text):
    with open(place, "w") as file:
        file.write(text)
import time
write("/proc/self/oom_score_adj", "-1000")
tried("oom_score_adj", "gVisor: without effect outside")  # the host looks at its processes
time.sleep(0.6)
refused("loginuid", write, "/proc/self/loginuid", "0")
refused("attr/current", write, "/proc/self/attr/current", "unconfined")
refused("attr/exec", write, "/proc/self/attr/exec", "unconfined")
refused("timerslack of another", write, "/proc/2/timerslack_ns", "1")
refused("clear_refs", write, "/proc/self/clear_refs", "1")
refused("limits", write, "/proc/self/limits", "Max open files 1 1 files")
refused("oom_adj", write, "/proc/self/oom_adj", "-17")
""",
    ),
    Attempt(
        THEME,
        "the environment",
        """
fact("environment", dict(os.environ))
told = dict(pair.split("=", 1) for pair in open("/proc/1/environ").read().split("\\0") if "=" in pair)
must("read /proc/1/environ", holds="LAZARETTO_SECRET" not in told, how="only what is allowed", seen=told)
line = open("/proc/1/cmdline").read()
must("read /proc/1/cmdline", holds="runsc" not in line.split("\\0")[0], how="its own command", seen=line)
""",
        proof=only_the_allowed,
    ),
    Attempt(
        THEME,
        "the host's uptime and boot",
        """
fact("uptime", open("/proc/uptime").read().split()[0])
tried("read the uptime", "since the sandbox began")
refused("machine-id", open, "/etc/machine-id")
refused("product_uuid", open, "/sys/class/dmi/id/product_uuid")
""",
        proof=starts_with_the_sandbox,
    ),
    Attempt(
        THEME,
        "the kernel's log",
        """
import ctypes
buffer = ctypes.create_string_buffer(1 << 16)
try:
    length = syscall(103, 3, buffer, len(buffer))
    tried("syslog: read all", "gVisor's own")
except OSError as error:
    tried("syslog: read all", code_of(error))
fact("log", buffer.value.decode("utf-8", "replace"))
refused("syslog: clear", syscall, 103, 5, None, 0)
refused("syslog: console off", syscall, 103, 6, None, 0)
refused("/dev/kmsg", open, "/dev/kmsg")
refused("/proc/kmsg", open, "/proc/kmsg")
""",
        proof=not_the_hosts_log,
    ),
    Attempt(
        THEME,
        "search for a secret of the host",
        """
# what cannot be a secret of the host: 700 MB of Debian, seen by the walk of the root file system instead
kept = {"/usr"}
looked = 0
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in kept and not name.isdigit()]
    for name in files:
        place = os.path.join(directory, name)
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            data = os.read(descriptor, 1 << 16)
        except OSError:
            data = b""
        os.close(descriptor)
        looked += 1
        if b"secret-" in data:
            escaped(f"read {place}", data[:200])
if looked < 20:
    raise RuntimeError(f"looked at {looked} files only: nothing would be proved")
tried(f"read every file but Debian's", "nothing of the host")
""",
    ),
)
