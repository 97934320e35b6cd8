"""Reading another document's data: from a sandbox that runs beside, and from one that has ended."""

from tests.security.attempt import Attempt, Evidence

THEME = "another document"

LEAVE = """
import fcntl, mmap, socket, time
secret = "@NEIGHBOUR@"
kept = []
def quietly(function, *arguments):
    try:
        kept.append(function(*arguments))
    except OSError:
        pass
def write(place):
    with open(place, "w") as file:
        file.write(secret)
for place in ("/tmp/document", f"/tmp/{secret}", "/dev/shm/document", "/var/tmp/document", "/run/document", "/dev/mqueue/document"):
    quietly(write, place)
def listen(address):
    one = socket.socket(socket.AF_UNIX)
    one.bind(address)
    one.listen()
    return one
def listen_tcp():
    one = socket.socket()
    one.bind(("0.0.0.0", 7777))
    one.listen()
    return one
quietly(listen, "\\0document-of-a-neighbour")
quietly(listen, "/tmp/document.socket")
quietly(listen_tcp)
libc.shmat.restype = ctypes.c_void_p
number = libc.shmget(0x4C415A, 4096, 0o1666)
if number >= 0:
    ctypes.memmove(libc.shmat(number, None, 0), secret.encode(), len(secret))
libc.semget(0x4C415A, 1, 0o1666)
libc.msgget(0x4C415A, 0o1666)
descriptor = os.memfd_create(secret)
os.write(descriptor, secret.encode())
lock = os.open("/usr/bin/runsc", os.O_RDONLY)
fcntl.flock(lock, fcntl.LOCK_EX)
os.environ["SECRET"] = secret
if os.fork() == 0:
    os.execve("/usr/bin/python3", ["python3", "-c", "import time; time.sleep(60)", secret], {"SECRET": secret})
tried("leave a secret everywhere", "left")
"""

SEARCH = """
import fcntl, socket
places = ["/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue"]
for place in places:
    names = os.listdir(place) if os.path.isdir(place) else []
    names = [name for name in names if name != "own"]
    must(f"list {place}", holds=not names, how="a tmpfs of its own", seen=names)
for place in ("/tmp/document", "/dev/shm/document", "/proc/2/cmdline", "/proc/2/environ", "/proc/2/fd"):
    refused(f"open {place}", os.open, place, os.O_RDONLY)
for address in ("\\0document-of-a-neighbour", "/tmp/document.socket"):
    refused(f"connect to {address!r}", socket.socket(socket.AF_UNIX).connect, address)
refused("connect to its port", socket.create_connection, ("127.0.0.1", 7777), 1)
refused("shmget", syscall, 29, 0x4C415A, 4096, 0)
refused("semget", syscall, 64, 0x4C415A, 1, 0)
refused("msgget", syscall, 68, 0x4C415A, 0)
pids = [name for name in os.listdir("/proc") if name.isdigit()]
must("list processes", holds=pids == ["1"], how="processes of its own", seen=pids)
"""

STAY = "\ntime.sleep(8)\n"


def left_indeed(evidence: Evidence) -> str:
    left = any(event.get("got") == "left" for event in evidence.neighbour)
    return "" if left else "the neighbour left nothing: nothing would be proved"


ATTEMPTS = (
    Attempt(THEME, "search while it runs", SEARCH, proof=left_indeed, neighbour=LEAVE + STAY, sample=True),
    Attempt(THEME, "search after it ended", SEARCH, before=LEAVE),
    Attempt(
        THEME,
        "tell it something by locks on shared files",
        """
import fcntl
descriptor = os.open("/usr/bin/runsc", os.O_RDONLY)
fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the neighbour holds its own: a lock that is shared would raise
tried("lock a file that the neighbour has locked", "locks of its own")
""",
        proof=left_indeed,
        neighbour=LEAVE + STAY,
    ),
    Attempt(
        THEME,
        "memory that was a neighbour's",
        """
import mmap
def holds(page):
    return b"neighbour-" in page
tried("look through fresh memory", "zeros")
for _ in range(24):
    page = mmap.mmap(-1, 8 << 20)
    if page.find(b"neighbour" + b"-") >= 0 or any(page[place] for place in range(0, len(page), 4096)):
        escaped("fresh memory", "is not empty")
""",
        before=LEAVE,
    ),
)
