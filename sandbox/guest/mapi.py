"""An Outlook item, however it was stored, written as a message of RFC 5322 or as a MIME entity.

Both of Microsoft's containers (.msg and winmail.dat) hold the same properties; the numbers are those of [MS-OXPROPS].
Of a stored internet header only the fields below are taken over, since the rest would describe another body.
Trusts nothing: every text is a sender's. Bounds: an item has at most MAX_ATTACHMENTS and lies at most MAX_DEPTH deep in
others; what is written is counted as it goes.
"""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.encoders import encode_base64
from email.generator import BytesGenerator
from email.header import Header
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.parser import HeaderParser
from email.utils import format_datetime, formataddr
from typing import TYPE_CHECKING, Any

from sandbox import contract
from sandbox.guest import rtf
from sandbox.guest.failure import GuestFailure
from sandbox.guest.members import Members

if TYPE_CHECKING:
    from email.message import Message

    from sandbox.guest.wire import Answer, Request

PIECE = 1 << 18
WESTERN = "cp1252"
MAX_DEPTH = 10
MAX_ATTACHMENTS = 10_000  # and recipients
MAX_FILENAME = 200  # bytes of UTF-8
LONGEST_WORD = 300  # characters without a blank in a field: no line may pass 998 (RFC 5322 section 2.1.1)

SUBJECT, BODY, HTML, RTF, HEADERS = 0x0037, 0x1000, 0x1013, 0x1009, 0x007D
SENT, DELIVERED, MESSAGE_ID, IN_REPLY_TO, REFERENCES = 0x0039, 0x0E06, 0x1035, 0x1042, 0x1039
INTERNET_CODEPAGE, CODEPAGE = 0x3FDE, 0x3FFD
FROM = (0x0042, 0x5D02, 0x0065)  # name, SMTP address, address: of whom it was sent for
SENDER = (0x0C1A, 0x5D01, 0x0C1F)  # of who sent it
RECIPIENT = (0x3001, 0x39FE, 0x3003)
RECIPIENT_TYPE = 0x0C15
RECIPIENT_TYPES = {1: "To", 2: "Cc"}  # 3, Bcc, was not for everybody
DISPLAYED = {"To": 0x0E04, "Cc": 0x0E03}
LONG_NAME, SHORT_NAME, DISPLAY_NAME, MIME_TYPE, CONTENT_ID = 0x3707, 0x3704, 0x3001, 0x370E, 0x3712
DATA = 0x3701

KEPT_FIELDS = ["From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References"]
KEPT_FIELDS += ["Organization", "List-Id", "Importance"]
NO_ADDRESS = "unknown@address.invalid"  # RFC 2606; the item knows a name alone, or a directory's entry
MEDIA_TYPE = re.compile(r"(?:application|audio|font|image|model|text|video)/[a-z0-9][a-z0-9.+-]{0,100}\Z")
ADDRESS = re.compile(r"[^\s@<>\",;:\\()\[\]]{1,200}@[^\s@<>\",;:\\()\[\]]{1,200}\Z", re.ASCII)
CID = re.compile(r"[!-;=?-~]{1,200}\Z")  # printable, no angle brackets
RICHER = re.compile(rb"\\(?:pict|object|trowd)\b")  # what no plain text beside it can say
NOT_SHOWN = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


@dataclass
class Attachment:
    """One attachment: bytes, or an item of its own."""

    properties: dict[int, Any] = field(default_factory=dict)
    content: bytes = b""
    item: Item | None = None
    title: str = ""  # the name that TNEF gives beside the properties


@dataclass
class Item:
    """A message as Outlook keeps it: properties by their number (text, bytes, int or datetime)."""

    properties: dict[int, Any] = field(default_factory=dict)
    recipients: list[dict[int, Any]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    def text(self, number: int) -> str:
        """A property of text; "" where there is none."""
        return text_of(self.properties, number)


def text_of(properties: dict[int, Any], number: int) -> str:
    """A property of text; "" where there is none."""
    value = properties.get(number)
    return value.rstrip("\0") if isinstance(value, str) else ""


def checked(things: list[Any]) -> None:
    """Raise GuestFailure where there are too many of them."""
    if len(things) > MAX_ATTACHMENTS:
        raise GuestFailure(contract.TOO_MANY_MEMBERS)


def deeper(depth: int) -> int:
    """The depth of an item inside an item; raises GuestFailure where that is too deep."""
    if depth >= MAX_DEPTH:
        raise GuestFailure(contract.TOO_MANY_MEMBERS)
    return depth + 1


def filetime(ticks: int) -> datetime | None:
    """A moment counted in 100 ns since 1601; None where there is no such one."""
    try:
        return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return None


def codec(page: object) -> str:
    """The name of Python's codec of a Windows code page; of one that Python does not know, that of Western Europe."""
    names = {65001: "utf-8", 20127: "cp1252", 1200: "utf-16-le", 50220: "iso2022_jp", 51932: "euc_jp"}
    names |= {28590 + part: f"iso8859_{part}" for part in range(2, 16)}
    name = names.get(page, f"cp{page}") if isinstance(page, int) else WESTERN
    try:
        return codecs.lookup(name).name
    except LookupError:
        return WESTERN


def send(entity: Message, form: int, answer: Answer, request: Request) -> None:
    """Answer with one entity, written in lines that end as mail's do."""
    members = Members(form, answer, request)
    members.begin("")
    with io.BufferedWriter(_Sink(members), PIECE) as file:  # the generator writes line by line
        BytesGenerator(file, mangle_from_=False, policy=POLICY).flatten(entity)
    members.end()


POLICY = policy.compat32.clone(linesep="\r\n", max_line_length=78)


class _Sink(io.RawIOBase):
    """A file whose content goes out as the member's bytes."""

    def __init__(self, members: Members) -> None:
        super().__init__()
        self._members = members

    def writable(self) -> bool:
        """It is there to be written."""
        return True

    def write(self, piece: Any) -> int:
        """Send it; nothing is sent for nothing."""
        self._members.add(bytes(piece))
        return len(piece)


# --- the message ---


def as_message(item: Item) -> Message:
    """The item as a message with its own header."""
    message = as_entity(item)
    kept = _stored_fields(item) or _made_fields(item)
    for name, value in kept:
        message.add_header(name, _field(value))
    return message


def _stored_fields(item: Item) -> list[tuple[str, str]]:
    stored = HeaderParser().parsestr(item.text(HEADERS))
    found = [(name, value) for name in KEPT_FIELDS for value in stored.get_all(name, [])[:1]]
    return [(name, str(value)) for name, value in found] if stored.get("From") else []


def _made_fields(item: Item) -> list[tuple[str, str]]:
    when = next((value for key in (SENT, DELIVERED) if (value := item.properties.get(key))), None)
    fields = [
        ("From", _address(item.properties, FROM) or _address(item.properties, SENDER)),
        *((name, _recipients(item, number, name)) for number, name in RECIPIENT_TYPES.items()),
        ("Subject", item.text(SUBJECT)),
        ("Date", format_datetime(when) if isinstance(when, datetime) else ""),
        ("Message-ID", item.text(MESSAGE_ID)),
        ("In-Reply-To", item.text(IN_REPLY_TO)),
        ("References", item.text(REFERENCES)),
    ]
    return [(name, value) for name, value in fields if value]


def _recipients(item: Item, number: int, name: str) -> str:
    found = [_address(one, RECIPIENT) for one in item.recipients if one.get(RECIPIENT_TYPE) == number]
    if not found and not item.recipients:
        found = [formataddr((name, NO_ADDRESS)) for name in _line(item.text(DISPLAYED[name])).split("; ") if name]
    return ", ".join(one for one in found if one)


def _address(properties: dict[int, Any], numbers: tuple[int, int, int]) -> str:
    name, *addresses = (_line(text_of(properties, number)).strip()[:LONGEST_WORD] for number in numbers)
    address = next((one for one in addresses if ADDRESS.match(one)), "")
    return formataddr((name if name != address else "", address or NO_ADDRESS)) if name or address else ""


def _line(text: str) -> str:
    return NOT_SHOWN.sub(" ", text.encode("utf-8", "replace").decode())


def _field(text: str) -> str:
    words = (word[:LONGEST_WORD] for word in _line(text).strip().split(" "))
    value = " ".join(words)
    return value if value.isascii() else Header(value, "utf-8").encode(linesep="\r\n")


# --- the entity ---


def as_entity(item: Item) -> Message:
    """The item's bodies and attachments, without a header of the message's own."""
    plain, html, rich = _bodies(item)
    inline: list[Message] = []
    others = [_file(rich, "text/rtf", "message.rtf")] if rich else []
    for attachment in item.attachments:
        content_id = text_of(attachment.properties, CONTENT_ID).strip("<> ")
        is_shown = CID.match(content_id) and f"cid:{content_id}" in html
        (inline if is_shown else others).append(_part(attachment, content_id))
    shown = [_text(plain, "plain")] if plain or not (html or others) else []
    shown += [_text(html, "html")] if html else []
    if inline:
        shown[-1] = _multipart("related", [shown[-1], *inline])
    body = [_multipart("alternative", shown)] if len(shown) > 1 else shown
    return _multipart("mixed", [*body, *others]) if others else body[0]


def _bodies(item: Item) -> tuple[str, str, bytes]:
    """The item's text, its HTML, and the rich text that was neither."""
    plain, html = item.text(BODY), _html(item)
    packed = item.properties.get(RTF)
    if html or not packed or not isinstance(packed, bytes):
        return plain, html, b""
    try:
        rich = rtf.unpacked(packed)
    except GuestFailure:
        if plain:
            return plain, "", b""
        raise
    if (found := rtf.was_html(rich)) is not None:
        return plain, found, b""
    if (found := rtf.was_text(rich)) is not None:
        return plain or found, "", b""
    return plain, "", b"" if plain and not RICHER.search(rich) else rich


def _html(item: Item) -> str:
    stored = item.properties.get(HTML)
    if isinstance(stored, bytes):
        return stored.decode(codec(item.properties.get(INTERNET_CODEPAGE)), "replace").rstrip("\0")
    return item.text(HTML)


def _text(text: str, kind: str) -> Message:
    part = MIMENonMultipart("text", kind, charset="utf-8")
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    part.set_payload(joined.encode("utf-8"))
    encode_base64(part)
    return part


def _multipart(kind: str, parts: list[Message]) -> Message:
    return MIMEMultipart(kind, _subparts=parts)


def _part(attachment: Attachment, content_id: str) -> Message:
    properties = attachment.properties
    name = attachment_name(attachment)
    if attachment.item:
        part: Message = MIMEMessage(as_message(attachment.item))
        part.add_header("Content-Disposition", "attachment", filename=_parameter(name))
    else:
        kind = text_of(properties, MIME_TYPE).lower()
        part = _file(attachment.content, kind if MEDIA_TYPE.match(kind) else "application/octet-stream", name)
    if CID.match(content_id):
        part["Content-ID"] = f"<{content_id}>"
    return part


def attachment_name(attachment: Attachment) -> str:
    """The name of an attachment, the longest that is known."""
    names = [text_of(attachment.properties, number) for number in (LONG_NAME, DISPLAY_NAME, SHORT_NAME)]
    if attachment.item:
        names.append(attachment.item.text(SUBJECT) + ".eml")
    name = _line(next((one for one in (names[0], attachment.title, *names[1:]) if one), "")).strip()
    return name.encode()[-MAX_FILENAME:].decode("utf-8", "ignore") or "attachment"


def _file(content: bytes, media_type: str, name: str) -> Message:
    part = MIMENonMultipart(*media_type.split("/"))
    part.set_payload(content)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=_parameter(name))
    return part


def _parameter(name: str) -> str | tuple[str, str, str]:
    plain = name.isascii() and not set(name) & set('"\\') and len(name) < 60  # noqa: PLR2004 - of a line
    return name if plain else ("utf-8", "", name)
