"""Changing what the file system is: mounts, roots, namespaces, ways above the root."""

from tests.security.attempt import Attempt

THEME = "mounts and roots"

MOUNT = """
import ctypes
os.makedirs("/tmp/place", exist_ok=True)
def mount(source, target, kind, flags=0, data=None):
    return syscall(165, source, target, kind, flags, data)
def umount(target, flags=0):
    return syscall(166, target, flags)
"""

ATTEMPTS = (
    Attempt(
        THEME,
        "mount",
        MOUNT
        + """
for kind in (b"tmpfs", b"proc", b"sysfs", b"devpts", b"devtmpfs", b"cgroup", b"cgroup2", b"overlay", b"9p", b"fuse",
             b"ext4", b"nfs", b"debugfs", b"tracefs", b"securityfs", b"binfmt_misc", b"mqueue", b"erofs"):
    refused(f"mount {kind.decode()}", mount, b"none", b"/tmp/place", kind)
refused("bind the root", mount, b"/", b"/tmp/place", None, 4096 | 16384)
refused("remount the root writable", mount, b"none", b"/", None, 32)
refused("remount a mask writable", mount, b"none", b"/run", None, 32)
refused("remount /tmp executable", mount, b"none", b"/tmp", None, 32)
refused("make the root shared", mount, b"none", b"/", None, (1 << 20) | 16384)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "umount of masks and of the root",
        MOUNT
        + """
for target in (b"/run", b"/var", b"/home", b"/root", b"/sys", b"/proc", b"/dev", b"/tmp", b"/"):
    refused(f"umount {target.decode()}", umount, target)
    refused(f"umount {target.decode()}, lazily", umount, target, 2)
""",
    ),
    Attempt(
        THEME,
        "chroot and pivot_root",
        MOUNT
        + """
refused("chroot", os.chroot, "/tmp")
refused("chroot to the root above", os.chroot, "/..")
refused("pivot_root", syscall, 155, b"/tmp", b"/tmp/place")
""",
    ),
    Attempt(
        THEME,
        "the new mount calls",
        MOUNT
        + """
refused("fsopen", syscall, 430, b"tmpfs", 0)
refused("open_tree", syscall, 428, -100, b"/", 1)
refused("fspick", syscall, 433, -100, b"/", 0)
refused("move_mount", syscall, 429, -100, b"/proc", -100, b"/tmp/place", 0)
refused("mount_setattr", syscall, 442, -100, b"/", 0, bytes(32), 32)
refused("fsmount", syscall, 432, 0, 0, 0)
refused("statmount", syscall, 457, bytes(24), bytes(512), 512, 0)
refused("listmount", syscall, 458, bytes(24), bytes(512), 64, 0)
""",
    ),
    Attempt(
        THEME,
        "namespaces of others",
        """
names = os.listdir("/proc/self/ns") if os.path.exists("/proc/self/ns") else []
fact("namespaces", names)
tried("list namespaces", "only its own")
for name in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"):
    for pid in ("1", "2", "@HOST_PID@", "../1"):
        def join():
            descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
            if os.stat(f"/proc/{pid}/ns/{name}").st_ino == os.stat(f"/proc/self/ns/{name}").st_ino:
                raise OSError(errno.EALREADY, "its own")
            return syscall(308, descriptor, 0)
        refused(f"setns {pid} {name}", join)
""",
    ),
    Attempt(
        THEME,
        "a user namespace, and what its root may",
        MOUNT
        + """
def outcome(function, *arguments):
    try:
        return str(function(*arguments))
    except OSError as error:
        return code_of(error)
allowed = {"0": "allowed, inside gVisor"}
code = outcome(syscall, 272, 0x10000000)
tried("unshare a user namespace", allowed.get(code, code))
# being root of a namespace of one's own, inside gVisor, is nothing; nothing beyond may come of it
for name, text in (("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")):
    def write():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    outcome(write)
code = outcome(syscall, 272, 0x00020000 | 0x04000000 | 0x08000000 | 0x40000000)
tried("unshare mounts and the rest", allowed.get(code, code))
fact("mount tmpfs", outcome(mount, b"none", b"/tmp/place", b"tmpfs"))
fact("bind root", outcome(mount, b"/", b"/tmp/place", None, 4096 | 16384))
outcome(umount, b"/run", 2)
outcome(umount, b"/tmp/place", 2)
outcome(mount, b"none", b"/", None, 32)
refused("write to /usr", open, "/usr/new", "w")
refused("write to /etc", open, "/etc/passwd", "r+")
refused("write to the root", open, "/new", "w")
refused("setns to a process outside", syscall, 308, 0, 0)
def node(name, mode, major, minor):
    os.mknod(f"/tmp/{name}", mode, os.makedev(major, minor))  # a node is a name in gVisor, without a driver behind it
    return os.open(f"/tmp/{name}", os.O_RDWR)
refused("mknod of a disk", node, "disk", 0o60666, 254, 0)
refused("mknod of memory", node, "mem", 0o20666, 1, 1)
refused("mknod of the log", node, "kmsg", 0o20666, 1, 11)
refused("settimeofday", syscall, 164, struct.pack("=qq", 1000000000, 0), None)
refused("reboot", syscall, 169, 0xFEE1DEAD, 672274793, 0x1234567, None)
refused("load a module", syscall, 175, bytes(64), 64, b"")
refused("become another user", os.setuid, 12345)
must("see what was masked", holds=os.listdir("/run") == [], how="nothing is below the masks", seen=os.listdir("/run"))
roots = sorted(os.listdir("/"))
must("see the outer root", holds="bundle" not in roots and "inner" not in roots, how="its root is all", seen=roots)
""",
    ),
    Attempt(
        THEME,
        "above the root",
        """
up = "/".join([".."] * 40)
places = [f"/{up}/secret", f"/proc/self/root/{up}/secret", f"/proc/1/root/{up}/secret", f"/proc/self/cwd/{up}/secret",
          f"/tmp/{up}/secret", "/bundle/config.json", "/../bundle/config.json", "/inner/etc/passwd", "/../etc/secret",
          "@IMAGE@/info.json", f"/{up}@IMAGE@/info.json", "/etc/secret", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
for place in places:
    refused(f"open {place}", open, place)
root = os.stat("/")
for place in ("/..", "/../..", "/proc/self/root", "/proc/1/root", "/proc/self/root/.."):
    same = os.path.samestat(os.stat(place), root)
    must(f"stat {place}", holds=same, how="the root is its own parent", seen=os.listdir(place))
""",
    ),
    Attempt(
        THEME,
        "above the root by directory descriptors",
        """
import ctypes
root = os.open("/", os.O_PATH | os.O_DIRECTORY)
for _ in range(20):
    above = os.open("..", os.O_PATH | os.O_DIRECTORY, dir_fd=root)
    root = above
must("O_PATH and twenty times ..", holds=os.path.samestat(os.fstat(root), os.stat("/")), how="the root is its own parent")
for name in ("secret", "bundle", "inner", "../secret"):
    refused(f"openat {name}", lambda: os.open(name, os.O_RDONLY, dir_fd=root))
os.fchdir(root)
for name in ("secret", "../bundle/config.json"):
    refused(f"after fchdir: {name}", open, name)
refused("openat2", syscall, 437, root, b"../secret", struct.pack("=QQQ", 0, 0, 0), 24)
# a directory moved away below a descriptor: the way of several container escapes
os.makedirs("/tmp/deep/er", exist_ok=True)
deep = os.open("/tmp/deep/er", os.O_RDONLY)
os.rename("/tmp/deep/er", "/tmp/moved")
up = "/".join([".."] * 40)
refused("above a moved directory", lambda: os.open(f"{up}/secret", os.O_RDONLY, dir_fd=deep))
""",
    ),
    Attempt(
        THEME,
        "file handles",
        """
import ctypes
handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
mount_id = ctypes.create_string_buffer(8)
refused("name_to_handle_at", syscall, 303, -100, b"/usr", handle, mount_id, 0)
for inode in (2, 128, 256):
    # shocker: the handle of a root directory is guessed
    guessed = struct.pack("=IiII", 8, 1, inode, 0) + bytes(16)
    refused(f"open_by_handle_at, inode {inode}", syscall, 304, os.open("/", os.O_RDONLY), guessed, 0)
""",
    ),
    Attempt(
        THEME,
        "symbolic links to what is outside",
        """
up = "/".join([".."] * 40)
targets = ["/etc/secret", "/secret", f"/{up}/secret", "/proc/1/root/secret", "/proc/@HOST_PID@/root/etc/shadow",
           "/proc/self/fd/3/../secret", "@IMAGE@/info.json", "/bundle/config.json"]
for number, target in enumerate(targets):
    os.symlink(target, f"/tmp/link{number}")
    refused(f"read through a link to {target}", open, f"/tmp/link{number}")
os.symlink("/etc/passwd", "/tmp/passwd")
refused("write through a link to /etc/passwd", open, "/tmp/passwd", "w")
os.symlink("/usr/lib/lazaretto", "/tmp/ours")
refused("write through a link to a directory", open, "/tmp/ours/new", "w")
os.symlink("/tmp/loop", "/tmp/loop")
refused("follow a loop", open, "/tmp/loop")
refused("rename the masks' parent", os.rename, "/tmp/ours", "/run/ours")
""",
    ),
)
