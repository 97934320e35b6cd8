"""Unix sockets and FIFOs, the usual ways out of a container: by path, by abstract name, by passing descriptors."""

from tests.security.attempt import Attempt

THEME = "Unix sockets"

ATTEMPTS = (
    Attempt(
        THEME,
        "abstract socket of the host",
        """
import socket
one = socket.socket(socket.AF_UNIX)
refused("connect to the host's abstract socket", one.connect, "\\0@ABSTRACT@")
for name in ("/tmp/.X11-unix/X0", "/containerd-shim/x.sock", "/org/freedesktop/systemd1/notify", "@/tmp/dbus"):
    refused(f"connect to abstract {name}", socket.socket(socket.AF_UNIX).connect, "\\0" + name)
lines = open("/proc/net/unix").read().splitlines()[1:]
must("read /proc/net/unix", holds=not any("@" in line or "/" in line for line in lines), how="no socket of others", seen=lines)
""",
    ),
    Attempt(
        THEME,
        "socket file in the root that the host listens on",
        """
import socket, stat
path = "@PLANTED@/socket"
if "@SOCKET@" == "there" and not stat.S_ISSOCK(os.stat(path).st_mode):
    raise RuntimeError("the socket that the host planted is not there: nothing would be proved")
refused("connect to a stream socket", socket.socket(socket.AF_UNIX).connect, path)
refused("connect to a datagram socket", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect, path)
refused("connect to a packet socket", socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect, path)
refused("open it", os.open, path, os.O_RDWR)
refused("bind over it", socket.socket(socket.AF_UNIX).bind, path)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "FIFO in the root that the host reads",
        """
import stat
path = "@PLANTED@/fifo"
if not stat.S_ISFIFO(os.stat(path).st_mode):
    raise RuntimeError("the FIFO that the host planted is not there: nothing would be proved")
def out(flags):
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    return os.write(descriptor, b"out")
refused("write to it", out, os.O_WRONLY)
refused("write to it, opened both ways", out, os.O_RDWR)
""",
    ),
    Attempt(
        THEME,
        "sockets of engines and daemons",
        """
import socket
places = ["docker.sock", "podman/podman.sock", "containerd/containerd.sock", "crio/crio.sock", "dbus/system_bus_socket",
          "systemd/notify", "systemd/private", "systemd/journal/socket", "udev/control", "nscd/socket", "acpid.socket"]
for place in places:
    for root in ("/run", "/var/run"):
        refused(f"connect to {root}/{place}", socket.socket(socket.AF_UNIX).connect, f"{root}/{place}")
refused("connect to /dev/log", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect, "/dev/log")
""",
    ),
    Attempt(
        THEME,
        "credentials that are not its own",
        """
import socket
left, right = socket.socketpair(socket.AF_UNIX)
right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
def claim(pid, uid, gid):
    data = struct.pack("=iii", pid, uid, gid)
    return left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, data)])
refused("say: user 0", claim, os.getpid(), 0, 1000)
refused("say: group 0", claim, os.getpid(), 1000, 0)
refused("say: the host's process", claim, @HOST_PID@, 1000, 1000)
""",
    ),
    Attempt(
        THEME,
        "descriptors that it was never given",
        """
import socket
for number in range(4, 1024):
    try:
        target = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        continue
    if number != reporter.stream.fileno():
        escaped(f"descriptor {number}", target)
tried("look for open descriptors", "only its own")
left, right = socket.socketpair(socket.AF_UNIX)
def passed(number):
    return left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", number))])
refused("pass a descriptor that is not open", passed, 900)
""",
    ),
)
