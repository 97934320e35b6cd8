"""`lazaretto` as it is, but for one thing that the environment's ALTERED names; run as `python -m tests.fakes.altered`.

dies_before_the_outcome   SIGKILL once the next hop has answered the dot, before that is written down
dies_before_the_reply     SIGKILL once that is written down, before the client is told
waits_for:PATH            its sandbox makes a PDF of every document, once that file exists
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from gateway import daemon
from gateway.__main__ import main
from gateway.journal.passage import Passage
from gateway.smtp.server import Session
from tests.fakes.sandbox import FakeSandbox


async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(10)


def ready() -> bool:
    return Path(os.environ["ALTERED"].partition(":")[2]).exists()


class WaitingSandbox(FakeSandbox):
    async def flatten(self, *arguments, **more):
        for _ in range(6000):
            if ready():
                break
            await asyncio.sleep(0.01)
        return await super().flatten(*arguments, **more)


def opened(_settings):
    return WaitingSandbox()


if __name__ == "__main__":
    what = os.environ["ALTERED"]
    if what == "dies_before_the_outcome":
        Passage.ended = die
    elif what == "dies_before_the_reply":
        Session._reply_to_message = die
    elif what.startswith("waits_for:"):
        daemon._opened = opened
    else:
        raise SystemExit(f"not known: {what}")
    main()
