"""Nothing else is touched: every message of the shared corpus that is clean and holds no file leaves byte for byte."""

from __future__ import annotations

import pytest

from gateway.mail.step import changes_bytes
from tests.gateway.corpus import CORPUS, corpus_files
from tests.gateway.mail.letters import send

FOLDERS = ("mime", "smtp")
AT_LEAST = 7  # clean messages without a file that the corpus holds; fewer would mean that clean mail is found odd


def messages() -> dict[str, bytes]:
    """As they are, and with the line ends that SMTP gives them."""
    found: dict[str, bytes] = {}
    for path in sorted(path for folder in FOLDERS for path in (CORPUS / folder).glob("*")):
        raw = path.read_bytes()
        found[path.name] = raw
        found[f"{path.name} in CRLF"] = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return found


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the checkout")
def test_clean_mail_of_the_corpus_leaves_byte_for_byte(capsys):
    clean, marked = set(), 0
    for name, raw in messages().items():
        sent = send(raw)
        if sent.plan.ambiguities or any(changes_bytes(step) for step in sent.plan.steps):
            continue
        clean.add(raw)
        marked += bool(sent.plan.mark)
        added = len(sent.out) - len(raw)
        assert sent.out[added:] == raw, name
        assert bool(added) == bool(sent.plan.mark), name
    with capsys.disabled():
        print(
            f"\nclean mail of the corpus without a file: {len(clean)}, byte for byte; {marked} of them marked as encrypted"
        )
    assert len(clean) >= AT_LEAST


def spans_that_stay(sent) -> list[bytes]:
    """The bytes between the parts that change."""
    changed = sorted((s.source.span.start, s.source.span.end) for s in sent.plan.steps if changes_bytes(s))
    position, pieces = 0, []
    for start, end in changed:
        if start > position:
            pieces.append(sent.message.raw[position:start])
        position = max(position, end)
    return [*pieces, sent.message.raw[position:]]


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
def test_of_a_clean_message_with_files_every_other_byte_is_still_there(path):
    sent = send(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    whole = {step.reason for step in sent.plan.steps} & {"signature_void", "resource_fork"}  # these change a container
    if sent.plan.canonical or whole or any(step.block for step in sent.plan.steps):
        return
    position = 0
    for piece in spans_that_stay(sent):
        assert piece in sent.out[position:]
        position = sent.out.index(piece, position) + len(piece)
