"""Other processes: tracing, reading, signalling, joining. There are none to be seen but its own."""

from tests.security.attempt import Attempt

THEME = "other processes"

PIDS = "pids = [0x7FFF, 2, 3, 7, 100, 1000, @HOST_PID@, @HOST_PID@ + 1, 4194303]\n"

ATTEMPTS = (
    Attempt(
        THEME,
        "ptrace",
        PIDS
        + """
for pid in pids:
    refused(f"attach to {pid}", syscall, 101, 16, pid, 0, 0)
    refused(f"seize {pid}", syscall, 101, 0x4206, pid, 0, 0)
    refused(f"peek at {pid}", syscall, 101, 2, pid, 0x400000, 0)
refused("attach to itself", syscall, 101, 16, os.getpid(), 0, 0)
""",
    ),
    Attempt(
        THEME,
        "memory of others",
        PIDS
        + """
import ctypes
buffer = ctypes.create_string_buffer(64)
local = struct.pack("=QQ", ctypes.addressof(buffer), 64)
remote = struct.pack("=QQ", 0x400000, 64)
for pid in pids:
    refused(f"process_vm_readv {pid}", syscall, 310, pid, local, 1, remote, 1, 0)
    refused(f"process_vm_writev {pid}", syscall, 311, pid, local, 1, remote, 1, 0)
    refused(f"open /proc/{pid}/mem", open, f"/proc/{pid}/mem", "rb")
    refused(f"open /proc/{pid}/maps", open, f"/proc/{pid}/maps", "rb")
""",
    ),
    Attempt(
        THEME,
        "process descriptors",
        PIDS
        + """
for pid in pids:
    refused(f"pidfd_open {pid}", syscall, 434, pid, 0)
    refused(f"kcmp {pid}", syscall, 312, 1, pid, 0, 0, 0)
refused("pidfd_getfd", syscall, 438, 0, 0, 0)
refused("process_madvise", syscall, 440, 0, None, 0, 4, 0)
refused("process_mrelease", syscall, 448, 0, 0)
""",
    ),
    Attempt(
        THEME,
        "signals to others",
        PIDS
        + """
import signal
for pid in pids:
    refused(f"kill {pid}", os.kill, pid, signal.SIGKILL)
    refused(f"tkill {pid}", syscall, 200, pid, 9)
    refused(f"tgkill {pid}", syscall, 234, pid, pid, 9)
    refused(f"rt_sigqueueinfo {pid}", syscall, 129, pid, 9, struct.pack("=iii", 9, 0, -1) + bytes(116))
refused("kill the group of another", os.killpg, @HOST_PID@, signal.SIGKILL)
refused("kill everybody", os.kill, -1, signal.SIGKILL)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "everybody is killed, children too",
        """
import signal, time
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    children.append(child)
os.kill(-1, signal.SIGKILL)
ends = [os.waitpid(child, 0)[1] for child in children]
must("kill(-1) with three children", holds=ends == [9, 9, 9], how="reaches its own children only", seen=ends)
""",
    ),
    Attempt(
        THEME,
        "priorities, bounds and scheduling",
        PIDS
        + """
import resource, time
os.setpriority(os.PRIO_PROCESS, 0, -20)
tried("nice -20", "gVisor: without effect outside")  # the host looks at its processes
time.sleep(0.6)
for pid in pids:
    refused(f"setpriority {pid}", os.setpriority, os.PRIO_PROCESS, pid, 10)
    refused(f"prlimit {pid}", resource.prlimit, pid, resource.RLIMIT_NOFILE)
    refused(f"sched_setaffinity {pid}", os.sched_setaffinity, pid, {0})
refused("real time", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))
def raise_bound(name, value):
    soft, hard = resource.getrlimit(name)
    try:
        resource.setrlimit(name, (value, value))
    except ValueError as error:  # Python's word for EPERM here
        raise PermissionError(errno.EPERM, str(error)) from error
refused("more open files", raise_bound, resource.RLIMIT_NOFILE, 1 << 20)
refused("more address space", raise_bound, resource.RLIMIT_AS, resource.RLIM_INFINITY)
refused("core dumps", raise_bound, resource.RLIMIT_CORE, 1 << 30)
""",
    ),
    Attempt(
        THEME,
        "pages of others",
        PIDS
        + """
import ctypes
nodes = struct.pack("=Q", 1)
for pid in pids:
    refused(f"move_pages {pid}", syscall, 279, pid, 1, struct.pack("=Q", 0x400000), nodes, bytes(4), 2)
    refused(f"migrate_pages {pid}", syscall, 256, pid, 64, nodes, nodes)
    refused(f"get_robust_list {pid}", syscall, 274, pid, ctypes.create_string_buffer(8), ctypes.create_string_buffer(8))
""",
    ),
)
