"""The hostile programs, a file a theme."""

from tests.security.attempt import Attempt
from tests.security.attempts import (
    bombs,
    devices,
    files,
    identity,
    kernel,
    mounts,
    neighbours,
    network,
    outliving,
    output,
    proc,
    processes,
    root,
    sockets,
)

FILES = (
    network,
    sockets,
    mounts,
    root,
    files,
    processes,
    proc,
    devices,
    kernel,
    identity,
    neighbours,
    outliving,
    output,
    bombs,
)
THEMES: dict[str, tuple[Attempt, ...]] = {file.THEME: file.ATTEMPTS for file in FILES}
ATTEMPTS = tuple(attempt for attempts in THEMES.values() for attempt in attempts)
SAMPLE = tuple(attempt for attempt in ATTEMPTS if attempt.sample)  # at least one a theme, for the other runtimes
