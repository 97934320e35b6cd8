"""Which results may be kept, and under what name. Pure.

The name is a digest over the document, what is wanted of it, whether it may be unpacked, what its message calls its
charset, and the sandbox's fingerprint, so that nothing is ever found that another document, other settings or another
image has made. How much room there was is no part of it, since nothing is kept that depends on it: neither what a
container held, which are originals, nor that it was too much. The document's own name is none either: what depends on
it (`sandbox.client.unless_disguised`) is decided after a result was found.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeGuard

from sandbox import contract
from sandbox.client import Flattened, NotFlattened

if TYPE_CHECKING:
    from sandbox.client import Answer, Want

VERSION: Final = 3  # of what is hashed and of what a kept file looks like

# Why there is no safe file, and whether that may be kept. What is said of the document itself is as true the next time;
# what was true of a moment, or of how it was looked at, is found out anew.
KEPT: Final[dict[str, str]] = {
    contract.ENCRYPTED: "no retry brings its password",
    contract.CORRUPT: "its own reader could not open it, and neither the bytes nor the reader have changed",
    contract.EMPTY: "nothing is in it",
    contract.UNKNOWN_TYPE: "no kind that the image knows; another image has another fingerprint",
    contract.TOO_MANY_PAGES: "counted; the bound is in the fingerprint",
    contract.PAGE_TOO_LARGE: "measured; likewise",
    contract.TOO_MANY_PIXELS: "counted; likewise",
    contract.DOCUMENT_TOO_LARGE: "weighed; likewise",
    contract.OUTPUT_TOO_LARGE: "weighed; likewise",
}
NOT_KEPT: Final[dict[str, str]] = {
    contract.OUT_OF_MEMORY: "the host may have been short of it, and a kernel that kills does not say for whose sake",
    contract.DEADLINE: "a busy machine is slow with every document",
    contract.SANDBOX_DIED: "of the document, of a restart, or of an administrator's kill: nobody knows",
    contract.SANDBOX_LIED: "an attack, or a fault of ours: each time shall be seen in the log",
    contract.TOO_MANY_MEMBERS: "of the room that its message had left for it",
    contract.UNPACKED_TOO_LARGE: "of that room, too",
    contract.TYPE_MISMATCH: "of the name, which is no part of the key; decided after the cache",
}


def result_key(
    untrusted_document: bytes, want: Want, fingerprint: str, *, unpack: bool = False, charset: str = ""
) -> str:
    """The name of a result, 64 hexadecimal digits."""
    asked = " ".join((want.value, "unpack" if unpack else "", charset.lower()))
    digest = hashlib.sha256(f"lazaretto result {VERSION}\n{asked}\n{fingerprint}\n".encode())
    digest.update(untrusted_document)
    return digest.hexdigest()


def may_be_kept(answer: Answer) -> TypeGuard[Flattened | NotFlattened]:
    """Whether the same document would get the same answer at any time, and no original is in it."""
    return isinstance(answer, Flattened) or (isinstance(answer, NotFlattened) and answer.reason in KEPT)
