"""The arguments of MAIL, RCPT and XFORWARD: text in, values or a refusal out. Pure.

Values keep their case and spelling, since the next hop gets them as they came (ENVID, ORCPT and AUTH are
case-sensitive, RFC 3461 section 4). Trusts nothing: control characters are refused everywhere, so that no value can
break a line of ours. Fails by returning `Refusal` with the whole reply. Bounds: the length of a command line is the
server's; those of single values stand beside them, from their RFC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# announced to clients only where the next hop has them too, since they cannot be relayed faithfully otherwise
OPTIONAL_EXTENSIONS: Final = frozenset({"8bitmime", "smtputf8", "dsn"})

SYNTAX_MAIL: Final = "501 5.5.4 Syntax: MAIL FROM:<address> [parameters]"
SYNTAX_RCPT: Final = "501 5.5.4 Syntax: RCPT TO:<address> [parameters]"

# RFC 5321 section 4.1.2, loosely: quoted strings whole, otherwise no space and no angle; bare addresses, as Postfix
# takes them too
_ANGLE: Final = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^"<>\s])*)>')
_BARE: Final = re.compile(r'([^\s<>"]+)')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

# parameter -> (extension that brings it, what its value must look like; None: it has no value)
MAIL_PARAMETERS: Final[dict[str, tuple[str, re.Pattern[str] | None]]] = {
    "SIZE": ("size", re.compile(r"\d{1,20}\Z")),  # RFC 1870 section 5
    "BODY": ("8bitmime", re.compile(r"(?:7BIT|8BITMIME)\Z", re.IGNORECASE)),  # RFC 6152
    "SMTPUTF8": ("smtputf8", None),  # RFC 6531
    "RET": ("dsn", re.compile(r"(?:FULL|HDRS)\Z", re.IGNORECASE)),  # RFC 3461 section 4.3
    "ENVID": ("dsn", re.compile(r"[\x21-\x7e]{1,300}\Z")),  # section 4.4: 100 characters, before xtext
    "AUTH": ("auth", re.compile(r"\S{1,1500}\Z")),  # RFC 4954 section 5: 500 characters, before xtext
}
RCPT_PARAMETERS: Final[dict[str, tuple[str, re.Pattern[str] | None]]] = {
    "NOTIFY": (
        "dsn",
        re.compile(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})\Z", re.IGNORECASE),
    ),
    "ORCPT": ("dsn", re.compile(r"[A-Za-z0-9-]+;\S{1,1500}\Z")),  # section 4.2: 500 characters, before xtext
}
XFORWARD_ATTRIBUTES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
_XTEXT: Final = re.compile(r"(?:[\x21-\x2a\x2c-\x7e]|\+[0-9A-F]{2})*\Z")
MAX_XFORWARD_VALUE: Final = 765  # 255 characters (Postfix's XFORWARD_README), each up to three in xtext


@dataclass(frozen=True, slots=True)
class Refusal:
    """The whole reply to a command that was not understood or not allowed."""

    reply: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address and its parameters, as received."""

    address: str
    parameters: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The value of one parameter; "" where it has none, None where it was not given."""
        return next((value for key, _, value in map(_split, self.parameters) if key == name), None)


def parse_mail(untrusted_argument: str | None, extensions: frozenset[str]) -> Mailbox | Refusal:
    """FROM:<reverse-path> and its parameters."""
    found = _mailbox(untrusted_argument, "FROM:", SYNTAX_MAIL)
    return found if isinstance(found, Refusal) else _checked(found, MAIL_PARAMETERS, extensions)


def parse_rcpt(untrusted_argument: str | None, extensions: frozenset[str]) -> Mailbox | Refusal:
    """TO:<forward-path> and its parameters; the path may not be empty."""
    found = _mailbox(untrusted_argument, "TO:", SYNTAX_RCPT)
    if isinstance(found, Mailbox) and not found.address:
        return Refusal("501 5.1.3 Recipient address is empty")
    return found if isinstance(found, Refusal) else _checked(found, RCPT_PARAMETERS, extensions)


def parse_xforward(untrusted_argument: str | None) -> tuple[tuple[str, str], ...] | Refusal:
    """NAME=value ... with values in xtext, kept so; names in upper case."""
    attributes = []
    for word in (untrusted_argument or "").split():
        name, _, value = _split(word)
        if name not in XFORWARD_ATTRIBUTES:
            return Refusal("501 5.5.4 Unknown XFORWARD attribute")
        if len(value) > MAX_XFORWARD_VALUE or not _XTEXT.match(value):
            return Refusal("501 5.5.4 Bad XFORWARD attribute value")
        attributes.append((name, value))
    return tuple(attributes) or Refusal("501 5.5.4 Syntax: XFORWARD attribute=value ...")


def extension_of(parameter: str) -> str:
    """Which extension a checked parameter belongs to."""
    name = _split(parameter)[0]
    return (MAIL_PARAMETERS.get(name) or RCPT_PARAMETERS[name])[0]


def _split(parameter: str) -> tuple[str, str, str]:
    name, equals, value = parameter.partition("=")
    return name.upper(), equals, value


def _mailbox(argument: str | None, keyword: str, syntax: str) -> Mailbox | Refusal:
    if argument is None or argument[: len(keyword)].upper() != keyword or _CONTROL.search(argument):
        return Refusal(syntax)
    rest = argument[len(keyword) :].lstrip()  # RFC 5321 section 3.3 wants no space here; many send one
    found = _ANGLE.match(rest) or _BARE.match(rest)
    if not found:
        return Refusal("501 5.1.7 Malformed address" if keyword == "FROM:" else "501 5.1.3 Malformed address")
    rest = rest[found.end() :]
    if rest and not rest[0].isspace():
        return Refusal(syntax)
    return Mailbox(found[1], tuple(rest.split()))


def _checked(
    mailbox: Mailbox, known: dict[str, tuple[str, re.Pattern[str] | None]], extensions: frozenset[str]
) -> Mailbox | Refusal:
    names = [_split(parameter)[0] for parameter in mailbox.parameters]
    if len(set(names)) != len(names):
        return Refusal("501 5.5.4 Parameter given twice")
    for parameter in mailbox.parameters:
        name, equals, value = _split(parameter)
        extension, form = known.get(name, ("", None))
        if extension not in extensions:
            return Refusal("555 5.5.4 Parameter not recognised")  # RFC 5321 section 4.1.1.11
        if (form is None and equals) or (form is not None and not form.match(value)):
            return Refusal(f"501 5.5.4 Bad value of {name}")
    return mailbox
