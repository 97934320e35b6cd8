"""Using up what there is: processes, memory, descriptors, files, time. Bounds of the sandbox's own must be met."""

from tests.security.attempt import Attempt, Evidence

THEME = "bombs"
MIB = 1024 * 1024

ENDS = frozenset({"flattened", "sandbox_died", "deadline", "out_of_memory"})
SECONDS = {"seconds": 6.0}


def within_bounds(evidence: Evidence) -> str:
    """Where there was a cgroup, it held; gVisor's own process and the bomb are in it together."""
    usage = evidence.usage
    if usage.bound and usage.memory > 900 * MIB:
        return f"used {usage.memory // MIB} MiB"
    if usage.bound and usage.processes > 192:
        return f"had {usage.processes} processes"
    if evidence.host_growth > 200 * MIB:
        return f"the host's process grew by {evidence.host_growth // MIB} MiB"
    return ""


# a bomb of memory is to burst at its bound, not at the deadline: the time is only for machines that are slow
FULL = frozenset({"flattened", "sandbox_died", "out_of_memory"})
UNTIL_FULL = {"seconds": 40.0}


def memory(name: str, program: str, *, sample: bool = False) -> Attempt:
    return Attempt(THEME, name, program, FULL, within_bounds, UNTIL_FULL, bomb=True, sample=sample)


def bomb(name: str, program: str, *, sample: bool = False, **limits: object) -> Attempt:
    return Attempt(THEME, name, program, ENDS, within_bounds, {**SECONDS, **limits}, bomb=True, sample=sample)


COUNTED = """
import time
def until_refused(what, function, most=1 << 30, seconds=2):
    # as many as there are to be had; where the sandbox ends first, its outcome tells
    tried(what)
    end = time.monotonic() + seconds
    count = 0
    try:
        while count < most and time.monotonic() < end:
            function(count)
            count += 1
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        tried(f"{what}: after {count}", code_of(error) if isinstance(error, OSError) else type(error).__name__)
        return
    tried(f"{what}: {count} of them", "no bound met in the time there was")
"""

ATTEMPTS = (
    bomb(
        "fork bomb",
        COUNTED
        + """
import signal
def fork(_):
    if os.fork() == 0:
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
until_refused("fork without end", fork, seconds=60)
time.sleep(3)
""",
        sample=True,
    ),
    bomb(
        "processes that stay",
        COUNTED
        + """
def fork(_):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
until_refused("keep every child", fork, seconds=60)
""",
    ),
    bomb(
        "zombies",
        COUNTED
        + """
def fork(_):
    if os.fork() == 0:
        os._exit(0)
until_refused("never wait for a child", fork)
""",
    ),
    bomb(
        "thread bomb",
        COUNTED
        + """
import threading
threading.stack_size(65536)
until_refused("threads", lambda _: threading.Thread(target=time.sleep, args=(60,), daemon=True).start())
tried("leave")
leave()
""",
    ),
    memory(
        "memory: anonymous",
        COUNTED
        + """
kept = []
until_refused("touch a MiB", lambda _: kept.append(b"x" * (1 << 20)), seconds=60)
""",
        sample=True,
    ),
    memory(
        "memory: by forty processes",
        COUNTED
        + """
tried("forty processes touch 64 MiB each")
for _ in range(40):
    if os.fork() == 0:
        kept = [b"x" * (1 << 20) for _ in range(64)]
        time.sleep(60)
time.sleep(60)
""",
    ),
    memory(
        "memory: the tmpfs",
        COUNTED
        + """
file = open("/tmp/filler", "wb", buffering=0)
until_refused("write a MiB to /tmp", lambda _: file.write(b"x" * (1 << 20)), seconds=60)
""",
    ),
    bomb(
        "memory: /dev/shm",
        COUNTED
        + """
until_refused("write a MiB to /dev/shm", lambda count: open("/dev/shm/filler", "ab").write(b"x" * (1 << 20)))
""",
    ),
    memory(
        "memory: memfd",
        COUNTED
        + """
descriptor = os.memfd_create("filler")
until_refused("write a MiB to a memfd", lambda _: os.write(descriptor, b"x" * (1 << 20)), seconds=60)
""",
    ),
    memory(
        "memory: System V shared memory",
        COUNTED
        + """
libc.shmat.restype = ctypes.c_void_p
def segment(_):
    number = syscall(29, 0, 1 << 24, 0o1600)
    ctypes.memset(libc.shmat(number, None, 0), 1, 1 << 24)
until_refused("segments of 16 MiB", segment, seconds=60)
""",
    ),
    bomb(
        "address space",
        """
import mmap
def reserve():
    return [mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000) for _ in range(64)]
refused("reserve 64 GiB", reserve)
refused("reserve 2^46 bytes", lambda: mmap.mmap(-1, 1 << 46))
""",
    ),
    bomb(
        "mappings",
        COUNTED
        + """
import mmap
pages = mmap.mmap(-1, 1 << 28)
base = ctypes.addressof(ctypes.c_char.from_buffer(pages))
def split(count):
    syscall(10, base + 8192 * (count % 32768), 4096, count // 32768 % 2)
until_refused("split a mapping", split, 65536)
""",
    ),
    bomb(
        "locked memory",
        """
refused("mlockall", syscall, 151, 7)
refused("mlock a GiB", syscall, 149, 0x10000, 1 << 30)
refused("huge pages", syscall, 9, 0, 1 << 30, 3, 0x40022 | 0x8000, -1, 0)
""",
    ),
    bomb(
        "files without number",
        COUNTED
        + """
os.mkdir("/tmp/many")
until_refused("empty files", lambda count: os.close(os.open(f"/tmp/many/{count}", os.O_CREAT | os.O_WRONLY)))
""",
    ),
    bomb(
        "directories without depth",
        COUNTED
        + """
def deeper(_):
    os.mkdir("d")
    os.chdir("d")
os.chdir("/tmp")
until_refused("directories in directories", deeper, 100_000)
os.chdir("/tmp")
""",
    ),
    bomb(
        "a sparse file",
        """
file = open("/tmp/sparse", "wb")
def grow(size):
    os.ftruncate(file.fileno(), size)
    return os.pwrite(file.fileno(), b"x", size - 1)
for bits in (40, 62):
    try:
        grow(1 << bits)
    except OSError as error:
        tried(f"a sparse file of 2^{bits} bytes", code_of(error))
    else:
        tried(f"a sparse file of 2^{bits} bytes", "counted as what is written")
def allocate():
    os.posix_fallocate(file.fileno(), 0, 1 << 40)
refused("fallocate a TiB", allocate)
""",
    ),
    bomb(
        "descriptors",
        COUNTED
        + """
until_refused("open files", lambda _: os.open("/usr/bin/python3", os.O_RDONLY))
""",
    ),
    bomb(
        "descriptors of the gofer",
        COUNTED
        + """
import itertools
tried("keep files of the image open in many processes")
places = []
for directory, _, files in os.walk("/usr/lib/python3"):
    places += [os.path.join(directory, name) for name in files]
for directory, _, files in os.walk("/usr/share"):
    places += [os.path.join(directory, name) for name in files]
    if len(places) > 8000:
        break
size = 900
for start in range(0, 7200, size):
    if os.fork() == 0:
        for place in places[start : start + size]:
            try:
                os.open(place, os.O_RDONLY)
            except OSError:
                pass
        time.sleep(60)
time.sleep(2)
tried("more than the outer bound on open files", "gVisor lives")
""",
    ),
    bomb(
        "pipes, full",
        COUNTED
        + """
import fcntl
def pipe(_):
    read, write = os.pipe()
    fcntl.fcntl(write, 1031, 1 << 20)
    os.set_blocking(write, False)
    os.write(write, b"x" * (1 << 20))
def in_children(_):
    if os.fork() == 0:
        try:
            for _ in range(400):
                pipe(0)
        except OSError:
            pass
        time.sleep(60)
until_refused("pipes of a MiB", pipe)
until_refused("children with pipes of a MiB", in_children, 20)
time.sleep(2)
""",
    ),
    memory(
        "socket buffers, full",
        COUNTED
        + """
import socket
kept = []
def pair(_):
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
    left.setblocking(False)
    kept.append((left, right))
    left.send(b"x" * (1 << 24))
until_refused("socket pairs", pair, seconds=60)
""",
    ),
    bomb(
        "timers and signals",
        COUNTED
        + """
def timer(_):
    syscall(222, 1, None, ctypes.create_string_buffer(8))
until_refused("timers", timer, 200_000)
def queued(_):
    syscall(129, os.getpid(), 35, struct.pack("=iii", 35, 0, -1) + bytes(116))
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {35})
until_refused("queued signals", queued, 200_000)
""",
    ),
    bomb(
        "watches",
        COUNTED
        + """
def watch(_):
    descriptor = libc.inotify_init1(0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    libc.inotify_add_watch(descriptor, b"/usr", 0xFFF)
until_refused("inotify instances", watch)
""",
    ),
    bomb(
        "stack without bottom",
        """
import resource
tried("recursion without end")
import signal
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
child = os.fork()
if child == 0:
    function = ctypes.CFUNCTYPE(None)
    def deeper():
        again = function(deeper)
        again()
    try:
        function(deeper)()
    finally:
        os._exit(1)
status = os.waitpid(child, 0)[1]
must("recursion", holds=status != 0, how="the process died", seen=status)
""",
    ),
    bomb(
        "processor time, on every core",
        """
tried("burn")
for _ in range(8):
    if os.fork() == 0:
        while True:
            pass
while True:
    pass
""",
        seconds=6.0,
        sample=True,
    ),
    bomb(
        "system calls without pause",
        """
tried("call")
for _ in range(4):
    os.fork()
while True:
    os.getppid()
    os.stat("/usr/bin/python3")
""",
        seconds=6.0,
    ),
)
