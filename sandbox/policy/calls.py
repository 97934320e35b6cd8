"""Each system call that the outer container may make, with the reason, and the forms of it where not all are needed.

Data, written by hand; tests hold it against what was learnt (seen.json) and against the file made from it. A call
without forms is allowed with any arguments: those are pointers, descriptors or sizes, which a filter cannot judge.
What does not fit any form is answered like a call that is not here: ENOSYS.

Who calls: `runsc run` (sets up), its gofer (opens files), its sentry (gVisor's kernel), the sentry's stubs (processes
that hold the guest's memory and run its code), and the OCI runtime's last steps before it becomes runsc.
"""

from __future__ import annotations

from dataclasses import dataclass

WORD = 0xFFFF_FFFF  # flags are ints to the kernel: it does not look at the upper half of the register


@dataclass(frozen=True, slots=True)
class Argument:
    """What one argument must be: `value` where `mask` has bits, or exactly `value` where there is no mask."""

    index: int
    value: int
    mask: int | None = None

    def admits(self, given: int) -> bool:
        """True where the kernel's filter would let `given` through."""
        return given == self.value if self.mask is None else given & self.mask == self.value


@dataclass(frozen=True, slots=True)
class Form:
    """One way to make a call: every argument named must fit."""

    what: str
    arguments: tuple[Argument, ...]

    def admits(self, given: tuple[int, ...]) -> bool:
        """True where a call with these six arguments has this form."""
        return all(argument.admits(given[argument.index]) for argument in self.arguments)


@dataclass(frozen=True, slots=True)
class Call:
    """One allowed call."""

    name: str
    reason: str
    forms: tuple[Form, ...] = ()

    def admits(self, given: tuple[int, ...]) -> bool:
        """True where a call with these six arguments is allowed."""
        return not self.forms or any(form.admits(given) for form in self.forms)


def one_of(index: int, **values: int) -> tuple[Form, ...]:
    """A form for each value of one argument, by the value's name."""
    return tuple(Form(name, (Argument(index, value),)) for name, value in values.items())


def only_bits(index: int, what: str, bits: int) -> tuple[Form, ...]:
    """One form: no other bits than these in an argument that holds flags."""
    return (Form(what, (Argument(index, 0, WORD & ~bits),)),)


# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME is no flag of clone(2)
NAMESPACES = 0x7E02_0000
MS_BIND, MS_REC, MS_UNBINDABLE, MS_SLAVE = 0x1000, 0x4000, 0x2_0000, 0x8_0000
MS_SAFE = 0xE  # NOSUID, NODEV, NOEXEC
# RDONLY, REMOUNT, NOATIME, NODIRATIME, RELATIME: a remount keeps those of the file system below, which differ by host
MS_HARMLESS = 0x1 | 0x20 | 0x400 | 0x800 | 0x20_0000

CLONE = (
    Form("threads and processes, no namespace", (Argument(0, 0, NAMESPACES),)),
    Form("the gofer: user, mount, network, ipc, uts; its pid namespace is the container's", (
        Argument(0, 0x5C02_0000, NAMESPACES),
    )),
    Form("the sandbox process: mount, network, ipc, uts, pid", (Argument(0, 0x6C02_0000, NAMESPACES),)),
    Form("runsc itself, where the container has no capability: user and mount", (
        Argument(0, 0x1002_0000, NAMESPACES),
    )),
)  # fmt: skip
MOUNT = (
    Form("a new file system: nosuid, nodev and noexec", (Argument(3, MS_SAFE, WORD & ~(MS_HARMLESS & ~0x20)),)),
    Form("a bind mount, or one made tighter", (
        Argument(3, MS_BIND, WORD & ~(MS_REC | MS_SAFE | MS_HARMLESS)),
    )),
    Form("slave: nothing mounted here shows outside", (Argument(3, MS_REC | MS_SLAVE),)),
    Form("unbindable", (Argument(3, MS_UNBINDABLE),)),
)  # fmt: skip
PTRACE = one_of(
    0,
    CONT=7,
    ATTACH=16,
    DETACH=17,
    SYSEMU=31,
    SETOPTIONS=0x4200,
    GETEVENTMSG=0x4201,
    GETSIGINFO=0x4202,
    GETREGSET=0x4204,
    SETREGSET=0x4205,
    SETSIGMASK=0x420B,
)
SECCOMP = (
    Form("SET_MODE_FILTER, also for all threads", (Argument(0, 1), Argument(1, 0, WORD & ~1))),
    # refused otherwise than by EFAULT it makes systrap panic; without a filter no listener comes of it
    Form("SET_MODE_FILTER with NEW_LISTENER and no filter: asks whether the kernel could", (
        Argument(0, 1), Argument(1, 8), Argument(2, 0),
    )),
    Form("GET_ACTION_AVAIL", (Argument(0, 2),)),
)  # fmt: skip
NOBODY = 65534

CALLS = (
    # files: the gofer opens what the guest asks for, read-only; the sentry reads what it was handed
    Call("close", "descriptors"),
    Call("dup", "the gofer hands out copies of descriptors"),
    Call("dup3", "descriptors are put where a started process expects them"),
    Call("faccessat", "the gofer looks whether a mount's source is there"),
    Call("fallocate", "the sentry gives back memory that the guest has freed", one_of(1, PUNCH_HOLE_KEEP_SIZE=3)),
    Call("fchown", "the three pipes become nobody's, whom the sandbox process runs as", (
        Form("to nobody", (Argument(1, NOBODY), Argument(2, NOBODY))),
    )),
    Call("fcntl", "close-on-exec and non-blocking descriptors; the gofer seals a memory file it shares", one_of(
        1, GETFD=1, SETFD=2, GETFL=3, SETFL=4, ADD_SEALS=1033,
    )),
    Call("fgetxattr", "the gofer asks for a program's capabilities"),
    Call("flock", "runsc locks its state directory"),
    Call("fstat", "the gofer and Go's runtime"),
    Call("fstatfs", "the gofer; runsc makes sure that /proc is procfs"),
    Call("ftruncate", "the size of memory files"),
    Call("getdents64", "directories: the gofer, and what lies in /proc/self/fd"),
    Call("lseek", "runsc reads its specification"),
    Call("mkdirat", "runsc's state directory, and mount points in the sandbox process's own tmpfs"),
    Call("newfstatat", "the gofer, and runsc's look at its own files"),
    Call("openat", "the gofer opens files; the sentry's own filter forbids it"),
    Call("pread64", "files of the guest"),
    Call("preadv2", "pipes and files of the guest"),
    Call("pwritev2", "pipes of the guest"),
    Call("read", "pipes"),
    Call("readlinkat", "the gofer reads symbolic links"),
    Call("statx", "the gofer"),
    Call("umask", "so that created files have the modes they were given"),
    Call("unlinkat", "runsc removes its state and its control socket"),
    Call("write", "pipes"),
    # memory: the guest's memory is one memory file that the sentry and its stubs map
    Call("arch_prctl", "the thread's own base address; whether cpuid can be made to fault", one_of(
        0, SET_FS=0x1002, SET_CPUID=0x1012,
    )),
    Call("madvise", "Go's collector and the sentry give memory back or ask for it at once", one_of(
        2, DONTNEED=4, NOHUGEPAGE=15, POPULATE_WRITE=23,
    )),
    Call("memfd_create", "the guest's memory, and the window shared with the gofer", only_bits(
        1, "CLOEXEC, ALLOW_SEALING", 0x3,
    )),
    Call("mmap", "memory"),
    Call("mprotect", "memory"),
    Call("munmap", "memory"),
    # processes: runsc starts gofer and sentry, the sentry starts the stubs
    Call("clone", "threads; gofer, sandbox process and stubs", CLONE),
    Call("execve", "the OCI runtime becomes runsc, which starts itself again as gofer and as sandbox process"),
    Call("exit", "the end of a thread"),
    Call("exit_group", "the end of a process"),
    Call("getpid", "Go's runtime"),
    Call("getppid", "a stub makes sure that its sentry is still there"),
    Call("getpriority", "systrap reads its own priority before it lowers that of its stubs"),
    Call("gettid", "Go's runtime, to signal a thread"),
    Call("kill", "the end of gofer, sandbox process and stubs; a stub stops itself when it is ready"),
    Call("prctl", "what a process gives up before it goes on, and to die with its parent", one_of(
        0, SET_PDEATHSIG=1, SET_KEEPCAPS=8, CAPBSET_DROP=24, SET_NO_NEW_PRIVS=38, CAP_AMBIENT=47,
    )),
    Call("restart_syscall", "the kernel itself puts it in place of a wait that a stop has interrupted"),
    Call("sched_getaffinity", "Go's runtime counts processors"),
    Call("sched_yield", "Go's runtime"),
    Call("setpriority", "systrap lowers its stubs below the sentry"),
    Call("setsid", "gofer and sandbox process leave the session"),
    Call("tgkill", "signals to a thread: Go's preemption, stopping a stub"),
    Call("wait4", "gVisor's platforms wait for their stubs, runsc for its children"),
    Call("waitid", "systrap learns which stubs have died; Go waits for a child"),
    # gVisor's platforms: both trace their own stubs; the sentry walls itself in
    Call("ptrace", "gVisor's platforms trace their own children", PTRACE),
    Call("seccomp", "gofer, sentry and stubs put filters of their own on themselves", SECCOMP),
    # time, signals and waiting: Go's runtime, and the sentry's own
    Call("epoll_create1", "Go's network poller, and the sentry's"),
    Call("epoll_ctl", "Go's network poller, and the sentry's"),
    Call("epoll_pwait", "Go's network poller, and the sentry's"),
    Call("eventfd2", "to wake a poller"),
    Call("futex", "locks; between sentry, gofer and stubs in shared memory", only_bits(
        1, "WAIT and WAKE, shared or private", 0x81,
    )),
    Call("getrandom", "random numbers of the guest and of Go"),
    Call("nanosleep", "Go's scheduler"),
    # a pipe of notifications (O_EXCL) would open the kernel's watch queues
    Call("pipe2", "pipes between processes", only_bits(1, "CLOEXEC, NONBLOCK", 0x8_0800)),
    Call("ppoll", "the sentry asks whether a pipe of the guest is ready"),
    Call("rt_sigaction", "signals"),
    Call("rt_sigprocmask", "signals"),
    Call("rt_sigreturn", "signals"),
    Call("sigaltstack", "signals"),
    # the control sockets between runsc, gofer and sentry: Unix sockets in namespaces of their own
    Call("accept4", "the sentry's control socket"),
    Call("bind", "the sentry's control socket"),
    Call("connect", "runsc to the sentry's control socket"),
    Call("listen", "the sentry's control socket"),
    Call("recvmsg", "control messages; descriptors from the gofer"),
    Call("sendmsg", "control messages; descriptors to the sentry"),
    Call("shutdown", "the end of a control connection"),
    Call("socket", "the control socket", one_of(0, AF_UNIX=1)),
    Call("socketpair", "between gofer and sentry", one_of(0, AF_UNIX=1)),
    # setting up gofer and sandbox process, inside the container's own user namespace
    Call("capget", "which capabilities there are to give up"),
    Call("capset", "gives up capabilities"),
    Call("chdir", "into the new root"),
    Call("chroot", "gofer and sandbox process shut themselves in an empty root"),
    Call("geteuid", "runsc looks whether it is root of its namespace"),
    Call("getgid", "runsc, which ids the sandbox process starts from"),
    Call("getrlimit", "runsc: limits that the guest is told"),
    Call("getuid", "runsc, which ids the sandbox process starts from"),
    Call("mount", "gofer and sandbox process build an empty root, and the guest's tree read-only in it", MOUNT),
    Call("pivot_root", "into that root"),
    Call("setgid", "as setuid", one_of(0, nobody=NOBODY, root=0)),
    Call("setuid", "the sandbox process runs as nobody; runsc is root of a user namespace that it made", one_of(
        0, nobody=NOBODY, root=0,
    )),
    Call("umount2", "the old root goes", one_of(1, DETACH=2)),
)  # fmt: skip

# Calls that were seen and are refused all the same: whoever makes them goes on without
LEFT_OUT = {
    "membarrier": "asked at start whether it works; the guest is told that it does not",
    "mincore": "how much of its memory the guest uses, for its /proc/meminfo; the figure is then too low",
    "pidfd_open": "Go's way to signal a child; it falls back to kill",
    "pidfd_send_signal": "as pidfd_open",
    "prlimit64": "Go raises its limit of open files to the hard one; ours are equal",
}
