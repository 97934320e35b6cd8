"""Writing, linking and running what is on a read-only root or on a tmpfs without execution."""

from tests.security.attempt import Attempt

THEME = "files"

ATTEMPTS = (
    Attempt(
        THEME,
        "change the image",
        """
targets = ("/usr/bin/python3", "/usr/bin/runsc", "/usr/lib/lazaretto/sandbox/contract.py", "/etc/passwd", "/etc/ld.so.cache", "/usr/lib/lazaretto/sandbox/guest/__main__.py")
for place in targets:
    refused(f"write {place}", open, place, "r+b")
    refused(f"append {place}", open, place, "ab")
    refused(f"truncate {place}", os.truncate, place, 0)
    refused(f"unlink {place}", os.unlink, place)
    refused(f"rename {place}", os.rename, place, place + ".old")
    refused(f"chmod {place}", os.chmod, place, 0o777)
    refused(f"chown {place}", os.chown, place, 1000, 1000)
    refused(f"utime {place}", os.utime, place, (0, 0))
    refused(f"setxattr {place}", os.setxattr, place, "user.x", b"1")
    refused(f"replace {place}", os.replace, "/etc/group", place)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "change directories of the image",
        """
for place in ("/", "/usr", "/usr/bin", "/etc", "/usr/lib/lazaretto", "/run", "/var", "/home", "/root", "/sys", "/proc", "/mnt"):
    refused(f"mkdir in {place}", os.mkdir, f"{place}/new")
    refused(f"create in {place}", open, f"{place}/new", "w")
    refused(f"symlink in {place}", os.symlink, "/tmp", f"{place}/new")
    refused(f"mkfifo in {place}", os.mkfifo, f"{place}/new")
    refused(f"chmod {place}", os.chmod, place, 0o777)
    refused(f"O_TMPFILE in {place}", os.open, place, os.O_TMPFILE | os.O_RDWR)
for place in ("/run", "/var", "/tmp", "/proc", "/dev"):
    refused(f"rmdir {place}", os.rmdir, place)
    refused(f"rename {place}", os.rename, place, place + "2")
""",
    ),
    Attempt(
        THEME,
        "hard links",
        """
for place in ("/etc/passwd", "/usr/bin/python3", "/proc/self/exe", "@PLANTED@/socket", "@PLANTED@/fifo", "/proc/1/environ", "/dev/null"):
    refused(f"link {place} to /tmp", lambda: os.link(place, "/tmp/linked", follow_symlinks=True))
open("/tmp/own", "w").close()
refused("link /tmp to /usr", os.link, "/tmp/own", "/usr/own")
refused("rename /tmp to /usr", os.rename, "/tmp/own", "/usr/own")
refused("rename /usr to /tmp", os.rename, "/usr/bin/python3", "/tmp/python3")
descriptor = os.memfd_create("own")
refused("link an unnamed file to /usr", lambda: os.link(f"/proc/self/fd/{descriptor}", "/usr/own", follow_symlinks=True))
refused("link a descriptor to /usr", syscall, 265, descriptor, b"", -100, b"/usr/own", 0x1000)
refused("exchange", syscall, 316, -100, b"/tmp/own", -100, b"/etc/passwd", 2)
""",
    ),
    Attempt(
        THEME,
        "run from the tmpfs",
        """
import shutil, subprocess
shutil.copy("/usr/bin/python3", "/tmp/program")
os.chmod("/tmp/program", 0o755)
open("/tmp/script", "w").write("#!/usr/bin/python3\\n")
os.chmod("/tmp/script", 0o755)
refused("execve a program", os.execv, "/tmp/program", ["program"])
refused("execve a script", os.execv, "/tmp/script", ["script"])
refused("execve by descriptor", os.execve, os.open("/tmp/program", os.O_RDONLY), ["program"], {})
done = subprocess.run(["/lib64/ld-linux-x86-64.so.2", "/tmp/program", "-c", "print(1)"], capture_output=True)
# gVisor maps it all the same; a program that could not map its own code would still be Python, which calls what it likes
tried("run it by the loader", f"ended with {done.returncode}, inside gVisor")
""",
    ),
    Attempt(
        THEME,
        "write through memory",
        """
import mmap
for place in ("/etc/passwd", "/usr/bin/runsc"):
    descriptor = os.open(place, os.O_RDONLY)
    refused(f"map {place} shared for writing", mmap.mmap, descriptor, 10, mmap.MAP_SHARED, mmap.PROT_WRITE | mmap.PROT_READ)
    # dirty cow: a private mapping must not come through to the file
    page = mmap.mmap(descriptor, 10, mmap.MAP_PRIVATE, mmap.PROT_WRITE | mmap.PROT_READ)
    before = os.pread(descriptor, 10, 0)
    page[0:10] = b"overwrites"
    def by_mem():
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(ctypes.addressof(ctypes.c_char.from_buffer(page)))
            memory.write(b"OVERWRITES")
    refused("write by /proc/self/mem", by_mem)
    must(f"write {place} through a private mapping", holds=os.pread(descriptor, 10, 0) == before, how="private to it", seen=before)
""",
    ),
    Attempt(
        THEME,
        "reopen what it was given",
        """
def use(number):
    # gVisor opens it, but what is behind is the same one end of a pipe
    descriptor = os.open(f"/proc/self/fd/{number}", (os.O_RDONLY if number else os.O_WRONLY) | os.O_NONBLOCK)
    return os.read(descriptor, 1) if number else os.write(descriptor, b"x")
for number in (0, 1, 2, reporter.stream.fileno()):
    refused(f"reopen {number} and use it the other way", use, number)
refused("seek in its input", os.lseek, 0, 0, 0)
refused("truncate its output", os.ftruncate, reporter.stream.fileno(), 0)
refused("write to its input", os.write, 0, b"x")
refused("read its output", os.read, reporter.stream.fileno(), 1)
""",
    ),
    Attempt(
        THEME,
        "locks, leases and notices on shared files",
        """
import fcntl, signal
descriptor = os.open("/usr/bin/python3", os.O_RDONLY)
refused("lease", fcntl.fcntl, descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
refused("notify", fcntl.fcntl, os.open("/usr", os.O_RDONLY), fcntl.F_NOTIFY, 1)
refused("write lock", fcntl.lockf, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
refused("own by another", fcntl.fcntl, 0, fcntl.F_SETOWN, @HOST_PID@)
""",
    ),
)
