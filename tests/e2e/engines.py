"""What a host may have, for real: a Docker Engine started for the tests, an ordinary user with subordinate ids."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import site
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
USER = "lazaretto-test"
FIRST_SUBORDINATE, SUBORDINATES = 1_500_000_000, 65_536
NO_SUCH_USER = 6  # userdel(8)
START_SECONDS = 60
# in a mount namespace of its own, without the version 2 hierarchy: what a host with version 1 alone looks like
ONLY_VERSION_1 = (
    *("unshare", "--mount", "--propagation=private", "sh", "-c"),
    '! [ -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified; exec "$@"',
    "sh",
)


@contextlib.contextmanager
def docker_engine(directory: Path) -> Iterator[None]:
    """A Docker Engine of our own, with all its state in `directory`; DOCKER_HOST names it meanwhile."""
    if os.geteuid() != 0 or not (shutil.which("dockerd") and shutil.which("docker")):
        pytest.skip("no Docker Engine can be started here: root, and apt-get install docker.io")
    socket = f"unix://{directory}/socket"
    paths = [f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid"]
    command = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", f"--host={socket}", *paths]
    before = os.environ.get("DOCKER_HOST")
    with (directory / "log").open("wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        os.environ["DOCKER_HOST"] = socket
        try:
            _wait_for_docker(engine, directory)
            yield
        finally:
            engine.send_signal(signal.SIGTERM)
            engine.wait(START_SECONDS)
            os.environ.pop("DOCKER_HOST") if before is None else os.environ.update(DOCKER_HOST=before)


def _wait_for_docker(engine: subprocess.Popen[bytes], directory: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while subprocess.run(["docker", "version"], check=False, capture_output=True).returncode:
        if engine.poll() is not None or time.monotonic() > end:
            raise AssertionError((directory / "log").read_text()[-2000:])
        time.sleep(0.3)


@dataclass(frozen=True)
class OrdinaryUser:
    """An account that owns nothing but its home, its runtime directory and a range of subordinate ids."""

    home: Path

    def run(self, *arguments: str, prefix: tuple[str, ...] = (), seconds: float = 240) -> str:
        """What `python -m ...` prints when this user runs it on the project's code."""
        packages = [*site.getsitepackages(), str(REPOSITORY)]
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "PYTHONPATH": ":".join(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        identity = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--reset-env"]
        settings = [f"{name}={value}" for name, value in environment.items()]
        command = [*prefix, *identity, "env", *settings, _python(), "-m", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(
        self, runtime: str, platform: str, start: str = "cold", *, prefix: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """What came of flattening a canary and an office document; see `as_user.py`."""
        *said, answer = self.run("tests.e2e.as_user", runtime, platform, start, prefix=prefix).splitlines()
        return {**json.loads(answer), "said": "\n".join(said)}  # warnings, for whoever reads a failure


def _python() -> str:
    """An interpreter of our version that others may execute: ours may lie in a home directory."""
    ours = Path(sys.executable).resolve()
    others = all(parent.stat().st_mode & 0o001 for parent in ours.parents)
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not others and not Path(system).exists():
        pytest.skip(f"no interpreter that an ordinary user may execute: {ours} is private, {system} is missing")
    return str(ours) if others else system


@contextlib.contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """The account, made for the test and removed after it with all that runs under it."""
    if os.geteuid() != 0 or not shutil.which("newuidmap"):
        pytest.skip("no account can be made here: root, and apt-get install uidmap")
    home = Path("/home") / USER
    _end_of_user()  # of a run that was killed
    subprocess.run(["useradd", "--home-dir", home, "--shell=/usr/sbin/nologin", "--create-home", USER], check=True)
    try:
        _give_ids()
        account = pwd.getpwnam(USER)
        (home / "run").mkdir(mode=0o700)
        os.chown(home / "run", account.pw_uid, account.pw_gid)
        yield OrdinaryUser(home)
    finally:
        _end_of_user()


def _give_ids() -> None:
    for kind, path in (("uid", Path("/etc/subuid")), ("gid", Path("/etc/subgid"))):
        held = [line for line in path.read_text().splitlines() if line.startswith(f"{USER}:")]
        for line in held:  # useradd gives a range by itself, or does not, by its settings
            _, first, count = line.split(":")
            last = int(first) + int(count) - 1
            subprocess.run(["usermod", f"--del-sub{kind}s", f"{first}-{last}", USER], check=True)
        span = f"{FIRST_SUBORDINATE}-{FIRST_SUBORDINATE + SUBORDINATES - 1}"
        subprocess.run(["usermod", f"--add-sub{kind}s", span, USER], check=True)


def _end_of_user() -> None:
    for _ in range(50):
        subprocess.run(
            ["pkill", "--signal=KILL", "--uid", USER], check=False, capture_output=True
        )  # Podman's pause process
        ended = subprocess.run(["userdel", "--remove", USER], check=False, capture_output=True)
        if ended.returncode in {0, NO_SUCH_USER}:
            return
        time.sleep(0.1)  # a killed process is still there for a moment
