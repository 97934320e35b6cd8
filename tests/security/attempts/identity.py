"""Gaining rights: other users, capabilities, set-uid programs."""

from tests.security.attempt import Attempt

THEME = "rights"

ATTEMPTS = (
    Attempt(
        THEME,
        "become root",
        """
for name, function, arguments in (
    ("setuid", os.setuid, (0,)), ("seteuid", os.seteuid, (0,)), ("setreuid", os.setreuid, (0, 0)), ("setresuid", os.setresuid, (0, 0, 0)),
    ("setgid", os.setgid, (0,)), ("setegid", os.setegid, (0,)), ("setresgid", os.setresgid, (0, 0, 0)), ("setgroups", os.setgroups, ([0],)),
    ("initgroups", os.initgroups, ("root", 0)),
):
    refused(name, function, *arguments)
for user in (1, 1001, 65534, @HOST_USER@):
    refused(f"setuid {user}", os.setuid, user)
refused("setfsuid", syscall, 122, 0)
must("who it is", holds=os.getresuid() == (1000,) * 3 and os.getresgid() == (1000,) * 3, how="uid 1000", seen=os.getresuid())
""",
    ),
    Attempt(
        THEME,
        "capabilities",
        """
import ctypes
header = struct.pack("=Ii", 0x20080522, 0)
refused("capset: all", syscall, 126, header, struct.pack("=IIIIII", *[0xFFFFFFFF] * 6))
for capability in (12, 16, 19, 21, 24, 25, 39):
    refused(f"capset {capability}", syscall, 126, header, struct.pack("=IIIIII", 1 << capability % 32, 1 << capability % 32, 0, 0, 0, 0))
    refused(f"ambient {capability}", syscall, 157, 47, 2, capability, 0, 0)
data = ctypes.create_string_buffer(24)
syscall(125, header, data)
must("capget", holds=data.raw == bytes(24), how="no capability", seen=data.raw)
status = open("/proc/self/status").read()
sets = [line for line in status.splitlines() if line.startswith("Cap")]
must("read the sets", holds=bool(sets) and all(int(line.split()[1], 16) == 0 for line in sets), how="no capability", seen=sets)
refused("securebits", syscall, 157, 28, 0x2F, 0, 0, 0)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "set-uid programs of its own",
        """
import shutil
shutil.copy("/usr/bin/python3", "/tmp/python")
refused("chown to root", os.chown, "/tmp/python", 0, 0)
os.chmod("/tmp/python", 0o6755)
refused("run it", os.execv, "/tmp/python", ["python", "-c", "0"])
refused("give it a capability", os.setxattr, "/tmp/python", "security.capability", struct.pack("=IIIII", 0x02000001, 0xFFFFFFFF, 0, 0, 0))
refused("give it a trusted attribute", os.setxattr, "/tmp/python", "trusted.overlay.opaque", b"y")
""",
    ),
    Attempt(
        THEME,
        "set-uid programs of the image",
        """
import stat
seen = 0
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in ("/proc",)]
    for name in files:
        place = os.path.join(directory, name)
        try:
            status = os.lstat(place)
        except OSError:
            continue
        seen += 1
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o6000:
            escaped(f"set-uid {place}", oct(status.st_mode))
if seen < 0.9 * @FILES@:
    raise RuntimeError(f"walked over {seen} files only: nothing would be proved")
tried("look for set-uid files", "none in the image")
import subprocess
for command in (["su", "-c", "id"], ["sudo", "id"], ["mount", "-t", "tmpfs", "none", "/tmp"], ["pkexec", "id"], ["newgrp", "root"]):
    def run():
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise OSError(errno.EPERM, done.stderr.decode())
    refused("run " + " ".join(command), run)
""",
    ),
    Attempt(
        THEME,
        "personality and protection keys",
        """
refused("become another architecture's process", syscall, 135, 0x0006)
refused("prctl: endian", syscall, 157, 20, 0, 0, 0, 0)
refused("prctl: set mm", syscall, 157, 35, 1, 0x400000, 0, 0)
refused("prctl: speculation of another", syscall, 157, 53, 99, 0, 0, 0)
refused("ptracer: anybody", lambda: syscall(157, 0x59616D61, -1, 0, 0, 0) and None or (_ for _ in ()).throw(OSError(errno.EALREADY, "own")))
refused("seccomp: strange operation", syscall, 317, 99, 0, None)
""",
    ),
)
