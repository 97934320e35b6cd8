"""Names from outside: what they decode to, what is left of them, and how they are written."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.filename import NAME_BYTES, candidates, decode_words, flattened_name, header_parameters, safe_filename


@pytest.mark.parametrize(
    ("untrusted", "safe"),
    [
        ("report.docx", "report.docx"),
        ("../../../../etc/cron.d/x.pdf", "x.pdf"),
        ("C:\\Windows\\x.pdf", "x.pdf"),
        ("/abs/x.pdf", "x.pdf"),
        ("dir/", "dir"),
        (".", "attachment"),
        ("..", "attachment"),
        ("", "attachment"),
        (" .bashrc ", "bashrc"),
        ("-rf", "rf"),
        ("x.pdf. . ", "x.pdf"),
        ("CON.pdf", "_CON.pdf"),
        ("con", "_con"),
        ("lpt1.tar.gz", "_lpt1.tar.gz"),
        ("console.log", "console.log"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\u200bb\ufeffc.pdf", "abc.pdf"),
        ("x.pdf\r\nBcc: evil@example.org", "x.pdf Bcc_evil@example.org"),
        ("a\0b.pdf", "ab.pdf"),
        ('a<b>:"|?*.pdf', "a_b_.pdf"),
        ("x.exe:stream", "x.exe_stream"),
        ("Грязь ünï 文書.docx", "Грязь ünï 文書.docx"),
        ("\ud800.pdf", "pdf"),
    ],
)
def test_a_name_is_made_safe(untrusted, safe):
    assert safe_filename(untrusted) == safe


def test_a_long_name_is_cut_before_its_extension():
    assert safe_filename("x" * 5000 + ".pdf")[-8:] in ("xxxxxxxx", "xxxx.pdf")
    name = safe_filename("ä" * 150 + ".docx")
    assert name.endswith("ä.docx")
    assert len(name.encode()) <= NAME_BYTES


@given(st.text(max_size=300))
def test_no_name_keeps_a_path_a_control_or_more_bytes_than_the_bound(untrusted):
    name = safe_filename(untrusted)
    assert name
    assert not set(name) & set('/\\:*?"<>|\r\n\t\0')
    assert name.isprintable()
    assert len(name.encode()) <= NAME_BYTES + 1
    assert name[0] not in ".-~ "
    assert safe_filename(name) == name


@given(st.text(max_size=120))
def test_a_safe_name_is_read_back_as_it_was_written(untrusted):
    name = safe_filename(untrusted)
    params = ";\r\n\t".join(["attachment", *header_parameters("filename", name)])
    raw = f"Content-Disposition: {params}\r\n\r\n".encode("ascii")
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    for policy in (email.policy.compat32, email.policy.default):
        assert email.message_from_bytes(raw, policy=policy).get_filename() == name


@pytest.mark.parametrize(
    ("name", "media_type", "flattened"),
    [
        ("report.docx", "application/pdf", "report.docx.pdf"),
        ("scan.pdf", "application/pdf", "scan.pdf"),
        ("SCAN.PDF", "application/pdf", "SCAN.PDF"),
        ("attachment", "application/pdf", "attachment.pdf"),
        ("pic.gif", "image/png", "pic.gif.png"),
        ("pic.JPEG", "image/jpeg", "pic.JPEG"),
        ("a.zip", "application/zip", "a.zip"),
    ],
)
def test_a_flattened_file_is_named_after_its_original(name, media_type, flattened):
    assert flattened_name(name, media_type) == flattened


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ([("filename", "a.pdf")], ["a.pdf"]),
        ([("filename", "=?utf-8?B?w7wucGRm?=")], ["ü.pdf"]),
        ([("filename", "=?utf-8?Q?a_?= \r\n =?utf-8?Q?b=2Epdf?=")], ["a b.pdf"]),
        ([("filename*", "iso-8859-1'de'%fc.pdf")], ["ü.pdf"]),
        ([("filename*1", "xe"), ("filename*0", "b.e")], ["b.exe"]),
        ([("filename*0*", "utf-8''%c3"), ("filename*1*", "%bc.pdf")], ["ü.pdf"]),
        ([("filename*0*", "utf-8''%c3%bc"), ("filename*1", ".pdf")], ["ü.pdf"]),
        ([("filename", "a.txt"), ("filename*", "utf-8''a.pdf"), ("filename*0", "b.exe")], ["a.txt", "a.pdf", "b.exe"]),
        ([("filename*", "no-such-charset''%ff.pdf")], ["ÿ.pdf"]),
        ([("filename", "\xc3\xbc.pdf")], ["ü.pdf"]),
        ([("name", "x")], []),
    ],
)
def test_every_name_that_a_part_could_have_is_found(params, names):
    assert candidates(params, "filename") == names


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["filename", "filename*", "filename*0", "filename*1*", "filename*99*"]),
            st.text(max_size=30),
        )
    )
)
def test_no_parameters_make_the_decoding_raise(params):
    latin = [(name, text.encode("utf-8", "ignore").decode("latin-1")) for name, text in params]
    assert isinstance(candidates(latin, "filename"), list)


@given(st.text(max_size=80))
def test_no_words_make_the_decoding_raise(text):
    assert isinstance(decode_words(f"=?{text}?=" + text), str)
