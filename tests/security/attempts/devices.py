"""Device nodes, made or found, and the ports behind them."""

from tests.security.attempt import Attempt, Evidence

THEME = "devices"

# what gVisor makes in /dev; fuse and net/tun are its own emulations, which the attempts on them show
GVISORS = {"fd", "fuse", "full", "net", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty"}
GVISORS |= {"urandom", "zero"}


def gvisors_only(evidence: Evidence) -> str:
    more = set(evidence.facts["devices"]) - GVISORS
    return f"devices that are not gVisor's: {sorted(more)}" if more else ""


ATTEMPTS = (
    Attempt(
        THEME,
        "make device nodes",
        """
nodes = {"mem": ("c", 1, 1), "kmem": ("c", 1, 2), "port": ("c", 1, 4), "kmsg": ("c", 1, 11),
         "kvm": ("c", 10, 232), "fuse": ("c", 10, 229), "tun": ("c", 10, 200), "loop-control": ("c", 10, 237),
         "loop0": ("b", 7, 0), "sda": ("b", 8, 0), "vda": ("b", 254, 0), "nvme": ("b", 259, 0), "tty": ("c", 4, 0),
         "msr": ("c", 202, 0), "vsock": ("c", 10, 241), "whiteout": ("c", 0, 0)}
for name, (kind, major, minor) in nodes.items():
    mode = 0o60666 if kind == "b" else 0o20666
    for place in ("/tmp", "/dev", "/dev/shm"):
        def make():
            os.mknod(f"{place}/made-{name}", mode, os.makedev(major, minor))
            return os.read(os.open(f"{place}/made-{name}", os.O_RDWR), 16)
        refused(f"mknod {place}/{name}", make)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "open the host's devices",
        """
for name in ("mem", "kmem", "port", "kmsg", "kvm", "loop0", "loop-control", "sda", "vda", "vda1", "nvme0n1", "dm-0",
             "mapper/control", "vhost-net", "vhost-vsock", "vsock", "dri/card0", "dri/renderD128", "nvidia0", "nvidiactl", "kfd",
             "snd/seq", "input/event0", "uinput", "uhid", "hidraw0", "hwrng", "tty0", "tty1", "console", "rtc0", "autofs", "btrfs-control",
             "cpu/0/msr", "cpu_dma_latency", "hpet", "watchdog", "ppp", "userfaultfd", "vfio/vfio", "iommu", "mei0", "tpm0",
             "nbd0", "sg0", "raw/rawctl", "snapshot", "udmabuf", "dma_heap/system", "accel/accel0", "vga_arbiter", "binder", "ttyS0"):
    refused(f"open /dev/{name}", os.open, f"/dev/{name}", os.O_RDWR | os.O_NONBLOCK)
""",
    ),
    Attempt(
        THEME,
        "what is in /dev",
        """
fact("devices", sorted(os.listdir("/dev")))
tried("list /dev", "gVisor's own devices")
for directory, names, files in os.walk("/dev"):
    for name in (*names, *files):
        status = os.lstat(os.path.join(directory, name))
        if status.st_rdev and os.major(status.st_rdev) not in (0, 1, 5, 10, 136):
            escaped(f"a device {directory}/{name}", status.st_rdev)
""",
        proof=gvisors_only,
    ),
    Attempt(
        THEME,
        "terminals",
        """
import fcntl, pty, termios
refused("/dev/tty", os.open, "/dev/tty", os.O_RDWR)
for number in (0, 1, 2):
    refused(f"TIOCSTI on {number}", fcntl.ioctl, number, termios.TIOCSTI, b"x")
    refused(f"TIOCLINUX on {number}", fcntl.ioctl, number, 0x541C, b"\\x02")
    refused(f"TIOCCONS on {number}", fcntl.ioctl, number, 0x541D, 0)
master, slave = pty.openpty()
refused("TIOCLINUX on a terminal of its own", fcntl.ioctl, slave, 0x541C, b"\\x02")
refused("TIOCCONS on a terminal of its own", fcntl.ioctl, slave, 0x541D, 0)
""",
    ),
    Attempt(
        THEME,
        "fuse",
        """
import fcntl
descriptor = None
try:
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    tried("open /dev/fuse", "opened: gVisor's own")
except OSError as error:
    tried("open /dev/fuse", code_of(error))
os.makedirs("/tmp/place")
data = f"fd={descriptor or 0},rootmode=40000,user_id=1000,group_id=1000".encode()
refused("mount by it", syscall, 165, b"fuse", b"/tmp/place", b"fuse", 0, data)
if descriptor is not None:
    refused("read it", os.read, descriptor, 1 << 16)
""",
    ),
    Attempt(
        THEME,
        "ports and descriptor tables",
        """
refused("iopl", syscall, 172, 3)
refused("ioperm", syscall, 173, 0x80, 1, 1)
refused("modify_ldt", syscall, 154, 1, struct.pack("=IIII", 0, 0, 0xFFFFF, 0x51), 16)
refused("pciconfig_read", syscall, 198, 0, 0, 0, 1, None)
""",
    ),
    Attempt(
        THEME,
        "instructions of the kernel",
        """
import ctypes, mmap, signal
codes = {"in": b"\\xe4\\x80", "out": b"\\xe6\\x80", "cli": b"\\xfa", "hlt": b"\\xf4", "rdmsr": b"\\x0f\\x32", "wrmsr": b"\\x0f\\x30",
         "mov cr3": b"\\x0f\\x20\\xd8", "lgdt": b"\\x0f\\x01\\x10", "invd": b"\\x0f\\x08", "vmcall": b"\\x0f\\x01\\xc1", "int 0x80": b"\\x31\\xc0\\xcd\\x80",
         "ud2": b"\\x0f\\x0b", "int3": b"\\xcc", "wbinvd": b"\\x0f\\x09", "rdpmc": b"\\x0f\\x33", "swapgs": b"\\x0f\\x01\\xf8", "sysexit": b"\\x0f\\x35"}
for name, code in codes.items():
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code + b"\\xc3")
        ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    ends = signal.Signals(number).name if number else f"ended with {os.waitstatus_to_exitcode(status)}"
    # a vmcall that a hypervisor answers, or an old system call refused, reaches nothing of the host
    must(f"run {name}", holds=bool(number) or name in ("vmcall", "int 0x80"), how=f"gVisor: {ends}", seen=ends)
""",
    ),
)
