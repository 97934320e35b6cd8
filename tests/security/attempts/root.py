"""The guest's root file system, proved from inside: what is there is on a list, and nothing else is."""

from pathlib import Path

from sandbox.airlock import inner
from sandbox.image import cache
from tests.security.attempt import Attempt, Evidence
from tests.security.attempts.devices import GVISORS

THEME = "root file system"
OWN = {"/", "/proc", "/dev", "/dev/pts"}  # what gVisor mounts without being told
WRITABLE = {*inner.WRITABLE, "/dev/shm"}


def exactly_the_list(evidence: Evidence) -> str:
    lines = [line.split() for line in evidence.facts["mounts"].splitlines()]
    told = {fields[1]: set(fields[3].split(",")) for fields in lines}
    listed = {mount["destination"]: mount for mount in inner.inner_spec()["mounts"]}
    if told.keys() != listed.keys() | OWN:
        return f"mounts {sorted(told.keys() ^ (listed.keys() | OWN))} are on one side only"
    wrong = [place for place, mount in listed.items() if not options_of(mount) <= told[place]]
    wrong += [place for place in told if "rw" in told[place] and place not in OWN | WRITABLE]
    return f"mounted otherwise than asked for: {wrong}" if wrong or "ro" not in told["/"] else ""


def options_of(mount: dict[str, object]) -> set[str]:
    """Those options that gVisor shows."""
    return {str(option) for option in mount.get("options", ())} - {"nosuid", "nodev"}  # type: ignore[attr-defined]


def as_laid_out(evidence: Evidence) -> str:
    image = cache.current_image()
    if image is None:
        return "the image is gone"
    root = image.rootfs / "inner"
    for place, names in evidence.facts["directories"].items():
        there = sorted(path.name for path in (root / place.strip("/")).iterdir())
        if names != there:
            return f"{place} shows {sorted(set(names) ^ set(there))} beside what was laid out"
    return ""


def nothing_but_tmp(evidence: Evidence) -> str:
    more = set(evidence.facts["writable"]) - WRITABLE
    return f"can be written: {sorted(more)}" if more else ""


def only_gvisors_devices(evidence: Evidence) -> str:
    more = {place for place in evidence.facts["special"] if Path(place).relative_to("/dev").parts[0] not in GVISORS}
    return f"special files: {sorted(more)}" if more else ""


ATTEMPTS = (
    Attempt(
        THEME,
        "exactly the mounts on the list",
        'fact("mounts", open("/proc/mounts").read())\ntried("read the mounts", "those of the list")\n',
        proof=exactly_the_list,
    ),
    Attempt(
        THEME,
        "/ and /etc are the inner ones",
        """
fact("directories", {place: sorted(os.listdir(place)) for place in ("/", "/etc", "/usr", "/usr/lib/lazaretto/sandbox")})
tried("list /, /etc and /usr", "the inner root")
for name in ("hosts", "resolv.conf", "hostname", "mtab", "secret", "machine-id", "shadow", "localtime"):
    refused(f"open /etc/{name}", open, f"/etc/{name}")
for directory, _, files in os.walk("/etc"):
    for name in files:
        try:
            text = open(os.path.join(directory, name), "rb").read()
        except OSError:
            continue
        if b"secret-" in text:
            escaped(f"read {directory}/{name}", text[:100])
""",
        proof=as_laid_out,
    ),
    Attempt(
        THEME,
        "masked directories are empty",
        f"""
for place in {inner.MASKED!r}:
    must(f"list {{place}}", holds=os.listdir(place) == [], how="empty", seen=os.listdir(place))
    refused(f"write to {{place}}", os.mkdir, place + "/new")
""",
    ),
    Attempt(
        THEME,
        "nothing but its tmpfs can be written",
        """
import stat
writable, walked = [], 0
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) != "/proc"]
    walked += 1
    try:
        descriptor = os.open(os.path.join(directory, ".new"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError:
        pass
    else:
        os.close(descriptor)
        os.unlink(os.path.join(directory, ".new"))
        writable.append(directory)
    for name in files:
        place = os.path.join(directory, name)
        if directory.startswith("/dev") or not stat.S_ISREG(os.lstat(place).st_mode):
            continue
        try:
            os.close(os.open(place, os.O_WRONLY))
            writable.append(place)
        except OSError:
            pass
if walked < 0.9 * @DIRECTORIES@:
    raise RuntimeError(f"walked over {walked} directories only: nothing would be proved")
fact("writable", writable)
tried("create a file in every directory, open every file for writing", "nothing but its tmpfs")
""",
        proof=nothing_but_tmp,
        sample=True,
    ),
    Attempt(
        THEME,
        "no socket, FIFO or device but gVisor's own",
        """
import stat
special, walked = [], 0
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in ("/proc", "@PLANTED@")]
    for name in files:
        mode = os.lstat(os.path.join(directory, name)).st_mode
        walked += 1
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            special.append(os.path.join(directory, name))
if walked < 0.9 * @FILES@:
    raise RuntimeError(f"walked over {walked} files only: nothing would be proved")
fact("special", special)
tried("look for special files", "gVisor's devices only")
""",
        proof=only_gvisors_devices,
    ),
    Attempt(
        THEME,
        "/proc is gVisor's",
        """
lines = open("/proc/self/mountinfo").read().splitlines()
own = [line for line in lines if line.split()[4] == "/proc"]
must("/proc is one mount", holds=len(own) == 1 and " - proc none" in own[0], how="gVisor's own", seen=own)
must("its init is the guest", holds=os.getpid() == 1 and os.getppid() == 0, how="no process of the outer container", seen=os.getppid())
names = [name for name in os.listdir("/proc") if name.isdigit()]
must("its processes", holds=names == ["1"], how="no process of the outer container", seen=names)
must("the sentry shows itself", holds=os.path.exists("/proc/sentry-meminfo"), how="gVisor's own")
""",
    ),
    Attempt(
        THEME,
        "every file belongs to others and is closed to change",
        f"masked = {inner.MASKED!r} + ('/tmp',)\n"
        """
import stat
walked = 0
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in ("/proc", "/dev", "/tmp", "@PLANTED@")]
    for name in (*names, *files):
        status = os.lstat(os.path.join(directory, name))
        if os.path.join(directory, name) in masked:  # a tmpfs of mode 1777, mounted read-only
            continue
        walked += 1
        if status.st_uid == os.getuid() or (status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode)):
            escaped(f"{directory}/{name}", (status.st_uid, oct(status.st_mode)))
if walked < 0.9 * @FILES@:
    raise RuntimeError(f"walked over {walked} files only: nothing would be proved")
tried("look for files of its own, or open to all", "none in the image")
""",
    ),
)
