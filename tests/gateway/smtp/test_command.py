"""Arguments of MAIL, RCPT and XFORWARD."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.command import (
    OPTIONAL_EXTENSIONS,
    Mailbox,
    Refusal,
    extension_of,
    parse_mail,
    parse_rcpt,
    parse_xforward,
)

ALL = OPTIONAL_EXTENSIONS | {"size", "auth"}


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("FROM:<a@example.org>", "a@example.org"),
        ("from:<A@Example.ORG>", "A@Example.ORG"),
        ("FROM: <>", ""),
        ("FROM:user@host", "user@host"),
        ('FROM:<"a b>c"@example.org>', '"a b>c"@example.org'),
        ("FROM:<@relay,@other:a@b>", "@relay,@other:a@b"),
        ("FROM:<ü@exämple.org>", "ü@exämple.org"),
    ],
)
def test_paths_are_read_as_they_were_written(argument, address):
    assert parse_mail(argument, ALL) == Mailbox(address, ())


def test_parameters_keep_their_case():
    found = parse_mail("FROM:<a@b> Size=12 BODY=8bitMIME RET=hdrs ENVID=QQ+3DaBc AUTH=Me+40x smtputf8", ALL)
    assert isinstance(found, Mailbox)
    assert found.parameters == ("Size=12", "BODY=8bitMIME", "RET=hdrs", "ENVID=QQ+3DaBc", "AUTH=Me+40x", "smtputf8")
    assert found.value("SIZE") == "12"
    assert found.value("SMTPUTF8") == ""
    assert found.value("OTHER") is None


def test_recipient_parameters_keep_their_case():
    found = parse_rcpt("TO:<a@b> NOTIFY=success,FAILURE ORCPT=rfc822;A+2BB@c", ALL)
    assert found == Mailbox("a@b", ("NOTIFY=success,FAILURE", "ORCPT=rfc822;A+2BB@c"))


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (None, "501"),
        ("TO:<a@b>", "501"),
        ("FROM:<a@b", "501"),
        ("FROM:<a b>", "501"),
        ("FROM:<a@b>SIZE=1", "501"),
        ("FROM:<a@b> SIZE=x", "501"),
        ("FROM:<a@b> SIZE=1 size=2", "501"),
        ("FROM:<a@b> SMTPUTF8=1", "501"),
        ("FROM:<a@b> BODY=BINARYMIME", "501"),
        ("FROM:<a@b> NOTIFY=NEVER", "555"),
        ("FROM:<a@b> X-OTHER=1", "555"),
        ("FROM:<a\rb@c>", "501"),
        ("FROM:<a@b> ENVID=a\0b", "501"),
    ],
)
def test_what_is_wrong_is_refused_with_its_code(argument, code):
    found = parse_mail(argument, ALL)
    assert isinstance(found, Refusal)
    assert re.match(rf"{code} 5\.\d\.\d ", found.reply)


def test_parameters_of_an_extension_that_was_not_announced_are_refused():
    assert parse_mail("FROM:<a@b> RET=FULL", frozenset({"size"})) == Refusal("555 5.5.4 Parameter not recognised")
    assert parse_rcpt("TO:<a@b> NOTIFY=NEVER", frozenset()) == Refusal("555 5.5.4 Parameter not recognised")


def test_a_recipient_may_not_be_empty():
    assert isinstance(parse_rcpt("TO:<>", ALL), Refusal)


def test_xforward_keeps_its_xtext():
    found = parse_xforward("name=mx.example.org ADDR=IPV6:2001:db8::1 HELO=[UNAVAILABLE] IDENT=4Ab+2B")
    expected = (
        ("NAME", "mx.example.org"),
        ("ADDR", "IPV6:2001:db8::1"),
        ("HELO", "[UNAVAILABLE]"),
        ("IDENT", "4Ab+2B"),
    )
    assert found == expected


@pytest.mark.parametrize("argument", [None, "", "OTHER=1", "NAME=a\nb", "NAME=a+zz", "NAME=" + "x" * 766, "NAME=ü"])
def test_bad_xforward_is_refused(argument):
    assert isinstance(parse_xforward(argument), Refusal)


@given(argument=st.text(max_size=80))
def test_whatever_comes_in_no_control_character_gets_through(argument):
    for found in (parse_mail("FROM:" + argument, ALL), parse_rcpt("TO:" + argument, ALL)):
        if isinstance(found, Mailbox):
            assert not re.search(r"[\x00-\x1f\x7f]", found.address + "".join(found.parameters))
            assert all(extension_of(parameter) in ALL for parameter in found.parameters)
