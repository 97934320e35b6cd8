"""Kernel interfaces that escapes are made of. gVisor answers them itself or not at all; the host's kernel sees none."""

from tests.security.attempt import Attempt

THEME = "kernel interfaces"

ATTEMPTS = (
    Attempt(
        THEME,
        "key rings",
        """
refused("add_key to the user's ring", syscall, 248, b"user", b"name", b"payload", 7, -4)
refused("request_key", syscall, 249, b"user", b"name", None, -3)
for ring in (-1, -2, -4, -5, 1, 0x12345678):
    refused(f"read ring {ring}", syscall, 250, 11, ring, None, 0, 0)
    refused(f"chown ring {ring}", syscall, 250, 4, ring, 0, 0, 0)
refused("link the user's ring", syscall, 250, 8, -4, -3, 0, 0)
refused("persistent ring", syscall, 250, 22, 1000, -3, 0, 0)
""",
    ),
    Attempt(
        THEME,
        "userfaultfd",
        """
for flags in (0, 1, 0o2000000, 0o2004001):
    refused(f"userfaultfd {flags}", syscall, 323, flags)
""",
    ),
    Attempt(
        THEME,
        "io_uring",
        """
import ctypes
for entries, flags in ((1, 0), (8, 0), (8, 2), (8, 1 << 6), (4096, 1)):
    refused(f"io_uring_setup {entries} {flags}", syscall, 425, entries, ctypes.create_string_buffer(struct.pack("=IIII", 0, 0, flags, 0) + bytes(120)))
refused("io_uring_enter", syscall, 426, 0, 1, 1, 0, None, 0)
refused("io_uring_register", syscall, 427, -1, 0, None, 0)
""",
    ),
    Attempt(
        THEME,
        "bpf",
        """
for command in range(0, 12):
    refused(f"bpf {command}", syscall, 321, command, bytes(128), 128)
program = struct.pack("=II", 1, 2) + bytes(120)
refused("bpf: load a socket filter", syscall, 321, 5, program, 128)
""",
    ),
    Attempt(
        THEME,
        "perf events",
        """
for kind, pid, cpu in ((0, 0, -1), (1, 0, -1), (1, -1, 0), (2, -1, 0), (5, @HOST_PID@, -1)):
    attributes = struct.pack("=IIQ", kind, 128, 0) + bytes(112)
    refused(f"perf_event_open {kind} {pid} {cpu}", syscall, 298, attributes, pid, cpu, -1, 0)
""",
    ),
    Attempt(
        THEME,
        "modules",
        """
refused("init_module", syscall, 175, b"\\x7fELF" + bytes(60), 64, b"")
refused("finit_module", syscall, 313, os.open("/usr/bin/runsc", os.O_RDONLY), b"", 0)
refused("delete_module", syscall, 176, b"kvm", 0o4000)
refused("create_module", syscall, 174, b"x", 4096)
refused("query_module", syscall, 178, None, 0, None, 0, None)
""",
    ),
    Attempt(
        THEME,
        "another kernel, another boot",
        """
refused("kexec_load", syscall, 246, 0, 0, None, 0)
refused("kexec_file_load", syscall, 320, 0, 0, 0, b"", 0)
for command in (0x01234567, 0x4321FEDC, 0x89ABCDEF, 0xCDEF0123, 0xD000FCE2, 0x45584543):
    refused(f"reboot {command:x}", syscall, 169, 0xFEE1DEAD, 672274793, command, None)
""",
    ),
    Attempt(
        THEME,
        "clocks",
        """
import time
refused("clock_settime", time.clock_settime, time.CLOCK_REALTIME, 1000000000)
refused("settimeofday", syscall, 164, struct.pack("=qq", 1000000000, 0), None)
refused("settimeofday: time zone", syscall, 164, None, struct.pack("=ii", 60, 0))
refused("adjtimex", syscall, 159, struct.pack("=I4xq", 0x8000 | 1, 100000) + bytes(192))
refused("clock_adjtime", syscall, 305, 0, struct.pack("=I4xq", 1, 100000) + bytes(192))
refused("an alarm that wakes the host", syscall, 283, 8, 0)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "names of the machine",
        """
refused("sethostname", syscall, 170, b"owned", 5)
refused("setdomainname", syscall, 171, b"owned", 5)
""",
    ),
    Attempt(
        THEME,
        "swap, quota, accounting",
        """
refused("swapon", syscall, 167, b"/tmp/swap", 0)
refused("swapoff", syscall, 168, b"/dev/vda")
refused("quotactl", syscall, 179, 0x800002 << 8, b"/dev/vda", 0, None)
refused("quotactl_fd", syscall, 443, 0, 0x800002 << 8, 0, None)
refused("acct", syscall, 163, b"/tmp/acct")
refused("vhangup", syscall, 153)
refused("nfsservctl", syscall, 180, 0, None, None)
""",
    ),
    Attempt(
        THEME,
        "watching the file system",
        """
refused("fanotify_init", syscall, 300, 0, 0)
refused("fanotify_init: permissions", syscall, 300, 4, 2)
refused("fanotify_mark", syscall, 301, 0, 1, 1, -100, b"/")
refused("lookup_dcookie", syscall, 212, 1, bytes(64), 64)
""",
    ),
    Attempt(
        THEME,
        "newer calls",
        """
numbers = {"memfd_secret": 447, "landlock_create_ruleset": 444, "cachestat": 451, "fchmodat2 on /usr": 452, "map_shadow_stack": 453,
           "futex_wake": 454, "set_mempolicy_home_node": 450, "futex_waitv": 449, "lsm_get_self_attr": 459, "mseal": 462,
           "listns": 470, "open_tree_attr": 467, "file_getattr": 468, "clone3 into a cgroup": 435}
for name, number in numbers.items():
    refused(name, syscall, number, 0, 0, 0, 0, 0, 0)
""",
    ),
    Attempt(
        THEME,
        "calls that no seccomp filter sees",
        """
# Linux passes these two by every filter since 6.14, so they reach the host's kernel from any process of any sandbox; it
# ends a caller that is not the trampoline of a probe
import signal
for name, number in (("uretprobe", 335), ("uprobe", 336)):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGILL, signal.SIG_DFL)
        try:
            syscall(number, 0, 0, 0, 0, 0, 0)
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    who = "gVisor" if code == errno.ENOSYS else "the host's kernel"
    how = f"{who}: {signal.Signals(-code).name if code < 0 else errno.errorcode.get(code, code)}"
    must(name, holds=code != 0, how=how, seen="it returned")
""",
    ),
    Attempt(
        THEME,
        "every number there is, with nonsense",
        """
import random, signal, time
random.seed(7)
# each number in children of their own, since some end, stop or starve the process; 0 .. 470 are the calls of today
harmless = {"ran": 0, "killed": 0}
values = (0, 1, -1, 4096, 0x7FFFFFFFFFFF, 1 << 63, 0xFFFFFFFF)
def child(numbers):
    signal.alarm(1)
    for number in numbers:
        for _ in range(2):
            libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(random.choice(values) & (1 << 64) - 1) for _ in range(6)])
    os._exit(0)
for first in range(0, 480, 48):
    children = {}
    for number in range(first, first + 48, 6):
        pid = os.fork()
        if pid == 0:
            for descriptor in (0, 1, reporter.stream.fileno()):
                os.close(descriptor)
            child(range(number, number + 6))
        children[pid] = number
    end = time.monotonic() + 1.5
    while children and time.monotonic() < end:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in children:
            harmless["ran" if os.WIFEXITED(status) else "killed"] += 1
            del children[pid]
        elif pid == 0:
            time.sleep(0.01)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        harmless["killed"] += 1
tried("call 480 numbers with nonsense", "gVisor lives")
fact("children", harmless)
""",
        ends=frozenset({"flattened", "sandbox_died", "deadline"}),
        bomb=True,
    ),
)
