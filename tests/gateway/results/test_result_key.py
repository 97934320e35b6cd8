"""What a result is kept under, and which are kept."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from gateway.lazy_sandbox import LazySandbox
from gateway.results.key import KEPT, NOT_KEPT, may_be_kept, result_key
from sandbox import client, contract
from sandbox.client import Flattened, Form, Limits, Member, NotFlattened, SandboxSettings, Unpacked, Want
from sandbox.host.fingerprint import fingerprint
from sandbox.host.service import LocalSandbox


def test_every_reason_is_decided_and_says_why():
    assert KEPT.keys() | NOT_KEPT.keys() == contract.REASONS
    assert not KEPT.keys() & NOT_KEPT.keys()
    assert all(len(why) > 10 for why in (KEPT | NOT_KEPT).values())


def test_only_what_is_the_documents_own_is_kept(tmp_path):
    assert may_be_kept(Flattened(tmp_path, "application/pdf", "text/plain", 1, 1, 1.0))
    for reason in contract.REASONS:
        assert may_be_kept(NotFlattened(reason, "", 1.0)) == (reason in KEPT)


def test_what_a_container_held_is_never_kept(tmp_path):
    members = (Member("a.txt", 0, 1),)
    assert not may_be_kept(Unpacked(tmp_path, Form.ARCHIVE, members, "application/zip", 1, 1.0))


CHARSETS = st.sampled_from(["", "koi8-r", "utf-8", "unpack"])
ASKED = st.tuples(st.binary(max_size=40), st.sampled_from(Want), st.text("ab\n", max_size=4), st.booleans(), CHARSETS)


@given(ASKED, ASKED)
def test_two_keys_are_the_same_only_for_the_same_question(one, other):
    keys = [result_key(*asked, unpack=unpack, charset=charset) for *asked, unpack, charset in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_the_fingerprint_changes_with_all_that_decides_a_result_and_with_nothing_else(monkeypatch):
    plain = SandboxSettings()
    others = [
        dataclasses.replace(plain, text_layer=False),
        *(
            dataclasses.replace(plain, limits=dataclasses.replace(Limits(), **{field.name: 7}))
            for field in dataclasses.fields(Limits)
        ),
    ]
    seen = {fingerprint(settings) for settings in (plain, *others)}
    assert len(seen) == len(others) + 1
    assert fingerprint(dataclasses.replace(plain, runtime="crun", concurrency=9)) == fingerprint(plain)
    monkeypatch.setattr("sandbox.image.cache.image_key", lambda: "another image")
    fingerprint.cache_clear()
    assert fingerprint(plain) not in seen
    fingerprint.cache_clear()
    assert client.fingerprint(plain) == fingerprint(plain)
    fingerprint.cache_clear()


def test_the_sandboxes_say_the_same_whether_they_are_open_or_not():
    settings = SandboxSettings(text_layer=False)
    opened = LocalSandbox.__new__(LocalSandbox)  # as if a runtime had been found
    opened._settings = settings
    assert opened.fingerprint == LazySandbox(settings).fingerprint == client.fingerprint(settings)
