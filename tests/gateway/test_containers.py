"""What is in containers: each thing flattened by itself, given back in its place, within one budget for the message."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import zipfile

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from gateway import config
from gateway.assembly import Assembly
from gateway.documents import opened
from gateway.mail.result import Safe
from gateway.results.sandbox import CachingSandbox
from gateway.sanitise import ReadingsDifferError, sanitise
from sandbox import contract
from sandbox.client import Form, SandboxBusyError, SandboxUnavailableError, Want
from tests.fakes.sandbox import BUSY, FULL_DISK, HANG, SAFE_PDF, UNAVAILABLE, FakeSandbox, container, zipped
from tests.gateway.mail.examine import known_bytes, runs_of
from tests.gateway.mail.letters import PDF, SECRET, TEXT, TOP, haystack, joined, mixed
from tests.gateway.mail.test_mail_encrypted import PGP_MIME
from tests.gateway.messages import with_attachments

DOCUMENT = b"a document of more than thirty-two bytes, number %d"
LETTER = mixed(TEXT, PDF)


def parts(*members: bytes) -> bytes:
    """A MIME entity, as the sandbox makes one of TNEF."""
    return b'Content-Type: multipart/mixed; boundary="tnef"\r\n\r\n' + joined(*members, boundary=b"tnef")


def message(letter: bytes = LETTER) -> bytes:
    return container(Form.MESSAGE, ("", letter))


def wrapped(content: bytes, name: str = "inner.doc") -> bytes:
    return container(Form.WRAPPER, (name, content))


def attached(name: str, content: bytes) -> bytes:
    return with_attachments(content).replace(b"file1.doc", name.encode())


async def made(untrusted: bytes, script=None, sandbox=None, **sections):
    return await sanitise(
        untrusted, config.load(None, sections), sandbox or FakeSandbox(script or {b"bad": contract.CORRUPT})
    )


def told(safe) -> list[tuple[str, str, str]]:
    return [(record.part, record.outcome, record.reason) for record in safe.records[1:]]


def found(content: bytes) -> dict[str, bytes]:
    """Every attachment of a message: name and bytes, of attached messages too."""
    read = email.message_from_bytes(content, policy=email.policy.default)
    return {part.get_filename(): part.get_payload(decode=True) for part in read.walk() if part.get_filename()}


def entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# what is made of each form


async def test_an_archive_comes_back_as_a_zip_of_its_flattened_members():
    safe = await made(attached("x.tar.gz", zipped(("a/one.doc", DOCUMENT % 1), ("two.pdf", DOCUMENT % 2))))
    assert told(safe) == [
        ("2", "repacked", "attachment"),
        ("2/1", "flattened", "member"),
        ("2/2", "flattened", "member"),
    ]
    inside = entries(found(safe.content)["x.tar.gz.zip"])
    assert set(inside) == {"a/one.doc.pdf", "two.pdf"}
    assert all(content.startswith(SAFE_PDF) for content in inside.values())
    assert safe.original_id == ""


async def test_a_zip_keeps_its_name():
    assert "x.zip" in found((await made(attached("x.zip", zipped(("a", b"a"))))).content)


async def test_archives_in_archives_are_zips_in_the_zip():
    inner = container(Form.ARCHIVE, ("deep.doc", DOCUMENT % 1))
    safe = await made(attached("x.zip", zipped(("folder/in.7z", inner), ("in.zip", zipped(("y.doc", b"y"))))))
    outer = entries(found(safe.content)["x.zip"])
    assert set(outer) == {"folder/in.7z.zip", "in.zip"}
    assert set(entries(outer["folder/in.7z.zip"])) == {"deep.doc.pdf"}
    assert ("2/1/1", "flattened", "member") in told(safe)


async def test_a_message_in_a_file_is_attached_as_a_message_and_its_parts_have_records():
    safe = await made(attached("x.msg", message()))
    assert told(safe) == [
        ("2", "repacked", "attachment"),
        ("2/1", "kept", "displayed_text"),
        ("2/2", "flattened", "attachment"),
    ]
    read = email.message_from_bytes(safe.content, policy=email.policy.default)
    [part] = read.iter_attachments()
    assert (part.get_content_type(), part.get_filename()) == ("message/rfc822", "x.msg.eml")
    assert part.get_content()["subject"] == "s"
    assert found(safe.content)["x.pdf"].startswith(SAFE_PDF)


async def test_an_eml_that_says_it_is_octets_keeps_its_name():
    assert "x.eml" in found((await made(attached("x.eml", message()))).content)


async def test_a_message_in_an_archive_in_a_message_in_an_archive():
    inner = zipped(("m.eml", message()), ("bad.doc", b"bad"))
    file = b"Content-Type: application/zip; name=in.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    outer = mixed(TEXT, file + email.base64mime.body_encode(inner, eol="\r\n").encode())
    safe = await made(attached("x.zip", zipped(("top.msg", message(outer)))))
    assert ("2/1/2/1/2", "flattened", "attachment") in told(safe)
    assert ("2/1/2/2", "removed", "corrupt") in told(safe)
    top = entries(found(safe.content)["x.zip"])["top.msg.eml"]
    deep = entries(found(top)["in.zip"])
    assert set(deep) == {"m.eml", "REMOVED.txt"}
    assert found(deep["m.eml"])["x.pdf"].startswith(SAFE_PDF)
    assert safe.original_id.encode() in deep["REMOVED.txt"]


@pytest.mark.parametrize("deep", [message, lambda letter: zipped(("mail.eml", message(letter)))])
async def test_encrypted_mail_in_a_file_marks_the_message_around_it_and_no_other(deep):
    safe = await made(attached("mail.msg", deep(PGP_MIME)))
    assert safe.content.startswith(b"X-Lazaretto-Not-Examined: encrypted\r\n")
    assert safe.content.count(b"X-Lazaretto-Not-Examined") == 1
    assert b"-----BEGIN PGP MESSAGE-----" in haystack(safe.content)


async def test_tnef_stands_as_ordinary_parts_in_the_place_of_winmail_dat():
    safe = await made(attached("winmail.dat", container(Form.PARTS, ("", parts(TEXT, PDF)))))
    read = email.message_from_bytes(safe.content, policy=email.policy.default)
    assert [part.get_content_type() for part in read.walk()] == [
        "multipart/mixed", "text/plain", "multipart/mixed", "text/plain", "application/pdf",
    ]  # fmt: skip
    assert "winmail.dat" not in found(safe.content)
    assert told(safe)[-1] == ("2/2", "flattened", "attachment")


async def test_a_message_that_is_nothing_but_tnef_is_its_parts():
    mail = TOP + b"Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    mail += email.base64mime.body_encode(container(Form.PARTS, ("", parts(TEXT, PDF))), eol="\r\n").encode()
    read = email.message_from_bytes((await made(mail)).content, policy=email.policy.default)
    assert read["subject"] == "s"
    assert [part.get_content_type() for part in read.walk()] == ["multipart/mixed", "text/plain", "application/pdf"]


async def test_tnef_in_an_archive_is_a_message_there():
    safe = await made(attached("x.zip", zipped(("winmail.dat", container(Form.PARTS, ("", parts(TEXT, PDF)))))))
    inside = entries(found(safe.content)["x.zip"])
    assert list(inside) == ["winmail.dat.eml"]
    assert "x.pdf" in found(inside["winmail.dat.eml"])


async def test_what_was_wrapped_stands_for_its_wrapper_under_its_own_name():
    safe = await made(attached("x.bin", wrapped(wrapped(DOCUMENT % 1, "../../b.doc"), "a.hqx")))
    assert list(found(safe.content)) == ["b.doc.pdf"]
    assert told(safe) == [
        ("2", "repacked", "attachment"),
        ("2/1", "repacked", "member"),
        ("2/1/1", "flattened", "member"),
    ]


async def test_an_archive_out_of_a_text_is_a_zip_beside_it():
    text = b"Content-Type: text/plain\r\n\r\nsee\r\nbegin 644 a.zip\r\n%send\r\n"
    data = zipped(("a.doc", DOCUMENT % 1))
    lines = b"".join(__import__("binascii").b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    safe = await made(TOP + text % (lines.replace(b"\n", b"\r\n") + b"`\r\n"))
    assert [record.part for record in safe.records] == ["1", "1/uu1", "1/uu1/1"]
    assert list(entries(found(safe.content)["a.zip"])) == ["a.doc.pdf"]


async def test_a_file_without_a_name_is_called_as_its_archive_without_the_ending():
    safe = await made(attached("report.doc.gz", container(Form.ARCHIVE, ("", b"x"))))
    assert list(entries(found(safe.content)["report.doc.gz.zip"])) == ["report.doc.pdf"]


async def test_a_web_page_that_an_archive_calls_a_pdf_is_removed(monkeypatch):
    monkeypatch.setattr("tests.fakes.sandbox.FOUND", "text/html")
    safe = await made(attached("x.zip", zipped(("a.pdf", b"x"), ("b.html", b"y"))))
    assert told(safe)[1] == ("2/1", "removed", "type_mismatch")


async def test_a_picture_that_is_shown_is_never_a_container():
    html = b'Content-Type: text/html\r\n\r\n<img src="cid:a">\r\n'
    picture = b"Content-Type: image/png\r\nContent-ID: <a>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    sandbox = FakeSandbox()
    mail = mixed(html, picture + email.base64mime.body_encode(zipped(("a", b"a")), eol="\r\n").encode())
    await made(mail, sandbox=sandbox)
    assert sandbox.rooms == [None]


# what cannot be had


async def test_one_bad_member_does_not_cost_the_others_and_is_told_in_the_archive():
    safe = await made(attached("x.zip", zipped(("good.doc", b"good"), ("bad.doc", b"bad"), ("more.doc", b"more"))))
    assert told(safe)[1:] == [
        ("2/1", "flattened", "member"),
        ("2/2", "removed", "corrupt"),
        ("2/3", "flattened", "member"),
    ]
    inside = entries(found(safe.content)["x.zip"])
    assert set(inside) == {"good.doc.pdf", "more.doc.pdf", "REMOVED.txt"}
    assert safe.original_id in inside["REMOVED.txt"].decode()
    assert {record.id for record in safe.records if record.outcome == "removed"} == {safe.original_id}


async def test_a_member_that_did_not_come_out_is_told_with_its_reason():
    data = container(Form.ARCHIVE, ("a.doc", b"a"), ("locked.doc", contract.ENCRYPTED))
    safe = await made(attached("x.rar", data))
    assert told(safe)[2] == ("2/2", "removed", "encrypted")
    assert b"password" in entries(found(safe.content)["x.rar.zip"])["REMOVED.txt"]


async def test_an_archive_of_which_nothing_is_safe_becomes_a_notice_that_lists_each():
    nested = zipped(("worse.doc", b"bad too"))
    safe = await made(attached("x.zip", zipped(("bad.doc", b"bad"), ("in.zip", nested))))
    assert told(safe) == [
        ("2", "removed", "nothing_safe"),
        ("2/1", "removed", "corrupt"),
        ("2/2", "removed", "nothing_safe"),
        ("2/2/1", "removed", "corrupt"),
    ]
    text = found(safe.content)["x.zip.removed.txt"].decode()
    for name in ("bad.doc", "in.zip", "worse.doc", "It is damaged", safe.original_id):
        assert name in text


@pytest.mark.parametrize("form", [Form.MESSAGE, Form.PARTS, Form.WRAPPER])
async def test_what_was_alone_in_its_container_and_is_not_there_is_the_containers_reason(form):
    safe = await made(attached("x", container(form, ("", contract.ENCRYPTED))))
    assert told(safe)[0] == ("2", "removed", "encrypted")


async def test_an_archive_of_nothing_is_empty():
    assert told(await made(attached("x.zip", container(Form.ARCHIVE)))) == [("2", "removed", "empty")]


async def test_a_part_that_a_message_in_a_file_may_not_have_is_removed_there():
    letter = mixed(TEXT, b"Content-Type: message/partial; number=1; total=2; id=x\r\n\r\n" + SECRET)
    safe = await made(attached("x.eml", message(letter)))
    assert told(safe)[2] == ("2/2", "removed", "fragment")
    assert safe.original_id != ""
    assert b"only a piece of a message" in safe.content.replace(b"=\r\n", b"")


# the budget


def nested(depth: int, inner: bytes = DOCUMENT % 0) -> bytes:
    for number in range(depth):
        inner = container(Form.ARCHIVE, (f"{number}.zip", inner))
    return inner


async def test_depth_is_counted_through_archives_messages_and_wrappers():
    letter = mixed(TEXT, b"Content-Type: application/zip; name=z\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
                   email.base64mime.body_encode(wrapped(DOCUMENT % 1), eol="\r\n").encode())  # fmt: skip
    mail = attached(
        "x.zip", zipped(("m.eml", message(letter)), ("y.doc", b"y"))
    )  # multipart, zip, eml, multipart, wrapper
    within = await made(mail, mail={"depth": 6})
    assert [outcome for _, outcome, _ in told(within)].count("removed") == 0
    past = await made(mail, mail={"depth": 5})
    assert ("2/1/2", "removed", "too_deep") in told(past)
    assert ("2/2", "flattened", "member") in told(past)
    assert past.original_id != ""
    much = await made(mail, mail={"depth": 3})
    assert ("2/1", "removed", "too_deep") in told(much)
    most = await made(mail, mail={"depth": 2})
    assert told(most) == [("2", "removed", "too_deep")]


async def test_an_archive_that_is_in_itself_ends():
    safe = await made(attached("droste.zip", nested(60)))
    assert told(safe)[0] == ("2", "removed", "nothing_safe")
    assert told(safe)[-1][1:] == ("removed", "too_deep")


async def test_parts_are_counted_over_all_containers():
    def mail(members):
        return with_attachments(
            container(Form.ARCHIVE, *((f"{n}.doc", b"x%d" % n) for n in range(members))), message(mixed(*[TEXT] * 5))
        )

    sections = {"mail": {"parts": 20}, "message": {"parallel_parts": 1}}
    within = await made(mail(9), **sections)
    assert {outcome for _, outcome, _ in told(within)} == {"kept", "flattened", "repacked"}
    past = await made(mail(10), **sections)
    assert told(past)[0] == ("2", "repacked", "attachment")
    assert told(past)[-1] == ("3", "removed", "too_many_parts")
    much = await made(mail(17), **sections)
    assert told(much)[0] == ("2", "removed", "too_many_members")
    assert told(much)[1][:2] == ("3", "repacked")


async def test_bytes_are_counted_over_all_containers():
    mail = with_attachments(*(container(Form.ARCHIVE, ("x.doc", b"%d" % n * 1000)) for n in range(3)))
    safe = await made(mail, mail={"unpacked_bytes": 2500}, message={"parallel_parts": 1})
    assert [row for row in told(safe) if "/" not in row[0]] == [
        ("2", "repacked", "attachment"),
        ("3", "repacked", "attachment"),
        ("4", "removed", "unpacked_too_large"),
    ]
    assert b"Unpacked it is larger" in safe.content


async def test_the_ratio_to_the_bytes_received_is_a_bound_too():
    mail = attached("bomb.zip", zipped(("zeros", bytes(1_000_000))))
    assert told(await made(mail))[0] == ("2", "removed", "unpacked_too_large")
    assert told(await made(mail, mail={"unpacked_ratio": 1000.0}))[0] == ("2", "repacked", "attachment")


async def test_containers_that_were_opened_at_once_are_paid_for_one_after_the_other():
    mail = with_attachments(*(container(Form.ARCHIVE, ("x.doc", b"%d" % n * 1000)) for n in range(4)))
    safe = await made(mail, mail={"unpacked_bytes": 2500}, message={"parallel_parts": 4})
    outcomes = [outcome for part, outcome, _ in told(safe) if "/" not in part]
    assert sorted(outcomes) == ["removed", "removed", "repacked", "repacked"]


async def test_a_container_is_told_how_much_may_come_out_of_it():
    sandbox = FakeSandbox()
    await made(
        attached("x.zip", zipped(("a", b"a" * 10), ("b", b"b"))),
        sandbox=sandbox,
        mail={"parts": 10, "unpacked_bytes": 100},
    )
    assert [(room.members, room.bytes) for room in sandbox.rooms] == [(7, 100), (5, 89), (5, 89)]


async def test_a_message_in_a_file_that_policy_refuses_is_removed_as_a_whole():
    odd = LETTER.replace(b"Content-Type: text/plain", b"Content-Type: text/plain\r\nContent-Type: text/html")
    safe = await made(attached("x.eml", message(odd)), policy={"ambiguous": "refuse"})
    assert told(safe) == [("2", "removed", "ambiguous")]
    assert safe.refused is None


async def test_a_message_in_a_file_that_policy_holds_goes_on_as_its_text():
    odd = LETTER.replace(b"Content-Type: text/plain", b"Content-Type: text/plain\r\nContent-Type: text/html")
    safe = await made(attached("x.eml", message(odd)), policy={"ambiguous": "hold"})
    assert ("2/whole", "held", "ambiguous") in told(safe)
    assert b"so it was held" in safe.content.replace(b"=\r\n", b"")
    assert safe.original_id != ""


async def test_a_message_in_a_file_may_have_the_line_ends_of_its_writer():
    safe = await made(attached("x.eml", message(LETTER.replace(b"\r\n", b"\n"))), policy={"ambiguous": "refuse"})
    assert told(safe)[0] == ("2", "repacked", "attachment")


# room


async def test_the_largest_of_all_members_give_way_and_the_archive_tells_it():
    sandbox = FakeSandbox({b"big": "9000", b"small": "100"})
    mail = with_attachments(zipped(("big.doc", b"big"), ("small.doc", b"small")), b"small one")
    safe = await made(mail, sandbox=sandbox, policy={"growth_factor": 1.0, "growth_bytes": 6000})
    assert told(safe) == [
        ("2", "repacked", "attachment"),
        ("2/1", "removed", "message_too_large"),
        ("2/2", "flattened", "member"),
        ("3", "flattened", "attachment"),
    ]


async def test_a_message_in_a_file_gives_way_with_all_that_is_in_it_where_its_text_has_no_room():
    text = b"Content-Type: text/plain\r\n\r\n" + b"words upon words\r\n" * 2000
    mail = with_attachments(message(mixed(text, PDF)), b"small")
    safe = await made(mail, policy={"growth_factor": 1.0, "growth_bytes": 20_000})
    assert told(safe) == [("2", "removed", "message_too_large"), ("3", "flattened", "attachment")]


async def test_base64_around_base64_is_counted():
    sandbox = FakeSandbox({b"%PDF": "10000"})
    mail = attached("x.zip", zipped(("m.eml", message())))
    sections = {"policy": {"growth_factor": 1.0, "growth_bytes": 18_000}}
    safe = await made(mail, sandbox=sandbox, **sections)
    assert ("2/1/2", "removed", "message_too_large") in told(safe)
    assert ("2", "flattened", "attachment") in told(await made(with_attachments(SECRET), sandbox=sandbox, **sections))


async def test_the_work_directory_is_empty_afterwards_and_members_go_when_they_are_used(tmp_path):
    seen = []

    class Watching(FakeSandbox):
        async def flatten(self, untrusted_document, output, want=Want.PDF, *, message="", room=None, charset=""):
            seen.append(sum(file.stat().st_size for file in output.parent.iterdir()))
            return await super().flatten(untrusted_document, output, want, message=message, room=room)

    mail = with_attachments(*(container(Form.ARCHIVE, ("x.doc", b"%d" % n * 10_000)) for n in range(6)))
    await made(mail, sandbox=Watching(), message={"parallel_parts": 1, "work_directory": str(tmp_path)})
    assert seen[-1] < 61_000
    assert list(tmp_path.iterdir()) == []


# the house


@pytest.mark.parametrize(
    ("answer", "error"), [(UNAVAILABLE, SandboxUnavailableError), (BUSY, SandboxBusyError), (FULL_DISK, OSError)]
)
async def test_a_failure_of_the_house_in_the_middle_of_it_is_one_of_the_message(tmp_path, answer, error):
    mail = attached("x.zip", zipped(("m.eml", message()), ("in.zip", zipped(("a.doc", b"good"), ("b.doc", b"fails")))))
    with pytest.raises(error):
        await made(mail, {b"fails": answer}, message={"work_directory": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(30)
async def test_what_is_nested_deeply_needs_one_turn_only():
    letter = LETTER
    for _ in range(5):
        file = b"Content-Type: application/zip; name=z.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        data = zipped(("m.eml", message(letter)), ("w", wrapped(b"x")), ("y.doc", b"y"))
        letter = mixed(TEXT, file + email.base64mime.body_encode(data, eol="\r\n").encode())
    sandbox = FakeSandbox()
    safe = await made(attached("x.eml", message(letter)), sandbox=sandbox, message={"parallel_parts": 1})
    assert sandbox.most_at_once == 1
    assert {outcome for _, outcome, _ in told(safe)} == {"kept", "flattened", "repacked"}


async def test_no_more_members_are_in_memory_than_may_be():
    sandbox = FakeSandbox()
    mail = with_attachments(*(zipped(*((f"{n}.doc", b"%d" % n) for n in range(20))) for _ in range(3)))
    await made(mail, sandbox=sandbox, message={"parallel_parts": 3})
    assert sandbox.most_at_once == 3


async def test_a_message_that_is_given_up_leaves_nothing_behind(tmp_path):
    sandbox = FakeSandbox({b"waits": HANG})
    mail = attached("x.zip", zipped(("a.zip", zipped(("b.doc", b"waits")))))
    task = asyncio.create_task(made(mail, sandbox=sandbox, message={"work_directory": str(tmp_path)}))
    async with asyncio.timeout(10):
        while len(sandbox.documents) < 3:  # noqa: ASYNC110 - the fake's event is set by the first one
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []
    assert sandbox.at_once == 0


async def test_the_same_message_gives_the_same_bytes():
    mail = with_attachments(
        zipped(("m.eml", message()), ("a/b.doc", b"b"), ("A/B.doc", b"c")),
        message(),
        container(Form.PARTS, ("", parts(PDF))),
    )
    first, second = await made(mail), await made(mail)
    assert first.content == second.content
    assert first.records == second.records


async def test_the_same_message_twice_in_one_has_boundaries_of_its_own_each():
    safe = await made(with_attachments(message(), message()))
    boundaries = [part.get_boundary() for part in email.message_from_bytes(safe.content).walk() if part.get_boundary()]
    assert len(set(boundaries)) == 3


@pytest.mark.parametrize("outer", [b"=", b"=_", b"=_0", b"--=_"])
async def test_a_senders_boundary_that_ours_would_begin_with_is_written_anew(outer):
    mail = attached("x.eml", message()).replace(b"=_b", outer)
    assert found((await made(mail)).content)["x.pdf"].startswith(SAFE_PDF)


@pytest.mark.parametrize("outer", [b"=", b"=_"])
async def test_so_is_one_around_a_text_whose_files_stand_beside_it(outer):
    text = b"Content-Type: text/plain\r\n\r\nbegin 644 a\r\n#0V%T\r\n`\r\nend\r\n"
    safe = await made(mixed(text, PDF, boundary=outer))
    assert set(found(safe.content)) == {"a.pdf", "x.pdf"}


SIGNED = (
    b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="sig"\r\n\r\n--sig\r\n'
    + TEXT
    + b"--sig\r\nContent-Type: application/pgp-signature; name=s.asc\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\n"
    + b"iQEzBAABCAAdFiEE0123456789abcdefghijklmnopqrstuvwxyzFAmVjZWIACgkQ\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n--sig--\r\n"
)


async def test_no_signature_holds_in_what_is_written_anew():
    whole = await made(mixed(SIGNED, PDF))
    assert told(whole)[0] == ("1.2", "kept", "signature")
    assert b"multipart/signed" in whole.content
    for mail in (attached("x.eml", message(mixed(SIGNED))), mixed(SIGNED, _file("x.eml", message()), boundary=b"=")):
        safe = await made(mail)
        assert ("removed", "signature_void") in [row[1:] for row in told(safe)]
        assert b"multipart/signed" not in safe.content
        assert safe.original_id != ""


async def test_eight_bit_fields_of_a_message_in_a_file_become_words():
    letter = LETTER.replace(b"Subject: s", "Subject: Grüße 日本".encode()).replace(
        b"To: b", "X-Odd: \xff".encode("latin-1") + b"\r\nTo: b"
    )
    safe = await made(attached("x.msg", message(letter)))
    assert safe.content.isascii()
    read = email.message_from_bytes(safe.content, policy=email.policy.default)
    [part] = read.iter_attachments()
    assert "Grüße 日本" in " ".join(part.get_content()["subject"].split())


async def test_what_came_out_safe_goes_through_again():
    first = await made(with_attachments(zipped(("m.eml", message()), ("b.doc", b"b"), ("bad", b"bad")), message()))
    assert {outcome for _, outcome, _ in told(await made(first.content))} == {"kept", "flattened", "repacked"}


# nothing of it gets through

_NAMES = st.sampled_from(["a.doc", "A.doc", "b/c.pdf", "../x", "CON", "", "winmail.dat", "m.eml", "z.zip", "ü.txt"])
_LEAVES = st.integers(0, 40).map(
    lambda n: known_bytes(n, (b"%PDF-1.7\n", b"bad", b"words of a text\n", b"\xd0\xcf\x11\xe0")[n % 4])
)


def _file(name: str, content: bytes) -> bytes:
    head = f'Content-Type: application/octet-stream; name="{name or "x"}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return head.encode("ascii", "replace") + email.base64mime.body_encode(content, eol="\r\n").encode()


def _boxes(inner):
    members = st.lists(st.tuples(_NAMES, inner), max_size=4)
    return st.one_of(
        members.map(lambda rows: container(Form.ARCHIVE, *rows)),
        members.map(lambda rows: zipped(*[(name or "x", content) for name, content in rows])),
        members.map(lambda rows: message(mixed(TEXT, *[_file(*row) for row in rows]))),
        members.map(lambda rows: container(Form.PARTS, ("", parts(TEXT, *[_file(*row) for row in rows])))),
        inner.map(wrapped),
    )


def _everything(content: bytes) -> bytes:
    """What lenient readers find in a message, and in the archives and messages in it."""
    found_here = [haystack(content)]
    for part in email.message_from_bytes(content).walk():
        data = part.get_payload(decode=True) or b""
        if data.startswith(b"PK"):
            found_here += [_in_zip(data)]
    return b"\xff\x00".join(found_here)


def _in_zip(data: bytes) -> bytes:
    inside = entries(data)
    return b"\xff\x00".join(
        [data, *(_in_zip(each) if each.startswith(b"PK") else _everything(each) for each in inside.values())]
    )


@pytest.mark.timeout(600)
@tried(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.recursive(_LEAVES, _boxes, max_leaves=12), min_size=1, max_size=3))
def test_no_bytes_of_anything_nested_are_in_what_is_sent(files):
    sandbox = FakeSandbox({b"bad": contract.CORRUPT})
    safe = asyncio.run(made(with_attachments(*files), sandbox=sandbox))
    hay = _everything(safe.content)
    for original in {*sandbox.documents, *files}:
        if original.startswith((b"%PDF-1.7\n", b"bad", b"words", b"\xd0\xcf", b"\0BOX", b"PK")) and not _ours(original):
            assert runs_of(original, hay) == []


def _ours(document: bytes) -> bool:
    return document.startswith(SAFE_PDF)


async def test_what_the_assembly_would_leave_as_it_came_is_noticed(monkeypatch):
    """The second reading looks into the archives that were written."""
    monkeypatch.setattr("gateway.assembly.flattened_name", lambda name, _: name)
    monkeypatch.setattr(Assembly, "_flattened", lambda self, document: Safe(DOCUMENT % 1, "application/pdf", "x.pdf"))
    with pytest.raises(ReadingsDifferError, match="part 2/1 is in it as it came"):
        await made(attached("x.zip", zipped(("a.doc", DOCUMENT % 1))))
    mail = attached("x.zip", zipped(("m.eml", message(mixed(TEXT, _file("a.doc", DOCUMENT % 1)))), ("b.doc", b"b")))
    with pytest.raises(ReadingsDifferError, match="part 2/1/2 is in it as it came"):
        await made(mail)


@pytest.mark.timeout(60)
async def test_messages_in_files_are_read_side_by_side_but_no_more_than_may_be(monkeypatch):
    read = []
    monkeypatch.setattr("gateway.documents.opened", lambda path, *bounds: read.append(path) or opened(path, *bounds))
    sandbox = FakeSandbox({b"waits": HANG})
    letters = zipped(*((f"{n}.eml", message(mixed(TEXT, _file("a", b"waits %d" % n)))) for n in range(8)))
    task = asyncio.create_task(made(attached("x.zip", letters), sandbox=sandbox, message={"parallel_parts": 3}))
    async with asyncio.timeout(10):
        while sum(document.startswith(b"waits") for document in sandbox.documents) < 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert len(read) == 3
    sandbox.script.clear()
    sandbox.release.set()
    assert {outcome for _, outcome, _ in told(await task)} == {"kept", "flattened", "repacked"}
    assert len(read) == 8


async def test_a_retry_gets_the_same_from_the_cache(tmp_path):
    fake = FakeSandbox({b"bad": contract.CORRUPT})
    chosen = config.load(None, {"cache": {"directory": str(tmp_path)}})
    caching = CachingSandbox(fake, chosen.cache)
    mail = with_attachments(zipped(("m.eml", message()), ("b.doc", b"b"), ("bad", b"bad")), zipped(("b.doc", b"b")))
    first = await sanitise(mail, chosen, caching)
    flattened = [document for document in fake.documents if document == SECRET]
    second = await sanitise(mail, chosen, caching)
    await caching.close()
    assert len(flattened) == len([document for document in fake.documents if document == SECRET]) == 1
    assert [record.outcome for record in first.records] == [record.outcome for record in second.records]
