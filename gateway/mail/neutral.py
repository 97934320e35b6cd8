"""Makes displayed HTML inert: what a reader looks at stays, what acts goes. Only where policy asks for it.

Works on the text that every browser would decode, by ammonia's HTML5 parser (nh3: Rust, no unsafe parsing, kept by
people who keep it) and by allow-lists: an element, attribute, CSS property or URL scheme that is not named here goes.
Trusts nothing in the text, never raises. Gone are scripts, event handlers, forms, frames, plug-ins, redirects, SVG and
MathML, comments (Outlook reads its own HTML in them) and style sheets: no kept sanitiser filters those, and selectors,
@import and url() in them tell others what a reader sees. Mail is laid out by tables and style attributes, which stay.

Bounds: TAGS and _ROUNDS. A tree builder takes quadratic time for what is nested without an end (20,000 tags: under a
second a round), so HTML of more tags is a file.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

import nh3

if TYPE_CHECKING:
    from collections.abc import Callable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS: Final = 20_000
_ROUNDS: Final = (
    4  # what was written is read again until it reads as written: tree builders mend what is nested wrongly
)
_TAG: Final = re.compile(rb"<[A-Za-z/!?]")
_ELEMENTS: Final = _words(
    """
    a abbr address area article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del
    details dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main map
    mark menu nav ol p pre q s samp section small span strike strong sub summary sup table tbody td tfoot th thead
    time tr tt u ul var wbr
    """
)
# gone with what is in them: no text that anybody reads, or text that parsers take apart by rules of their own
_WITH_CONTENT: Final = _words(
    """
    script style title iframe object embed applet noembed noframes noscript template svg math xml textarea select
    video audio canvas
    """
)
_EVERYWHERE: Final = _words(
    """
    style class id dir lang title align valign bgcolor width height
    """
)
_ATTRIBUTES: Final = {
    "*": set(_EVERYWHERE),
    "a": {"href", "name"},
    "area": {"href", "shape", "coords", "alt"},
    "img": {"src", "alt", "border", "hspace", "vspace", "usemap"},
    "map": {"name"},
    "font": {"color", "face", "size"},
    "hr": {"size", "color", "noshade"},
    "table": {"border", "cellpadding", "cellspacing", "bordercolor", "background", "summary", "role", "rules", "frame"},
    "tr": {"background"},
    "td": {"colspan", "rowspan", "nowrap", "background", "headers", "scope"},
    "th": {"colspan", "rowspan", "nowrap", "background", "headers", "scope"},
    "col": {"span"},
    "colgroup": {"span"},
    "ol": {"type", "start", "reversed"},
    "ul": {"type"},
    "li": {"type", "value"},
    "blockquote": {"type"},
    "del": {"datetime"},
    "ins": {"datetime"},
    "time": {"datetime"},
    "br": {"clear"},
}
# no position, z-index or transform: a part of the text could be laid over the mail program's own signs
_PROPERTIES: Final = _words(
    """
    background background-color border border-bottom border-bottom-color border-bottom-style border-bottom-width
    border-collapse border-color border-left border-left-color border-left-style border-left-width border-radius
    border-right border-right-color border-right-style border-right-width border-spacing border-style border-top
    border-top-color border-top-style border-top-width border-width box-sizing caption-side clear color direction
    display empty-cells float font font-family font-size font-style font-variant font-weight height letter-spacing
    line-height list-style-position list-style-type margin margin-bottom margin-left margin-right margin-top max-
    height max-width min-height min-width mso-hide mso-line-height-rule mso-table-lspace mso-table-rspace opacity
    overflow overflow-wrap padding padding-bottom padding-left padding-right padding-top table-layout text-align
    text-decoration text-indent text-transform text-size-adjust vertical-align visibility white-space width word-
    break word-spacing word-wrap
    """
)
_LINK: Final = re.compile(r"(?i)(?:https?://|mailto:|tel:|cid:|#)[^\x00-\x20]*\Z")
_PICTURE: Final = re.compile(r"(?i)(?:https?://|cid:)[^\x00-\x20]*\Z")
_URLS: Final = {"href": _LINK, "usemap": _LINK, "src": _PICTURE, "background": _PICTURE}
_SCHEMES: Final = {"http", "https", "mailto", "tel", "cid", "data"}  # data: only as a picture of ours, see `_kept`
# what loads, computes or hides in a style attribute: functions with a name, escapes, comments, at-rules
_CSS_ACTS: Final = re.compile(r"(?i)(?<![a-z0-9_-])(?!rgba?\(|hsla?\(|calc\()[a-z0-9_-]++\s*+\(|script:|[\\@<>{}]|/\*")
_BODY: Final = re.compile(r"(?i)<body\b([^>]{0,4000})>")
_BODY_COLOURS: Final = (
    ("bgcolor", re.compile(r"(?i)\bbgcolor\s*=\s*[\"']?\s*(#?[a-z0-9]{3,20})\b")),
    ("bgcolor", re.compile(r"(?i)\bbackground(?:-color)?\s*:\s*(#?[a-z0-9]{3,20})\b")),
    ("text", re.compile(r"(?i)\btext\s*=\s*[\"']?\s*(#?[a-z0-9]{3,20})\b")),
)
_DOCTYPE: Final = re.compile(r"(?i)\s*<!doctype html[\s>]")
_LIKE_OURS: Final = (b"<html><body", b"<!DOCTYPE html>\r\n<html><body")


def is_too_tangled(untrusted_html: bytes) -> bool:
    """True for HTML of so many tags that its tree could take too long to build."""
    return sum(1 for _ in _TAG.finditer(untrusted_html)) > TAGS


def is_inert(untrusted_html: bytes, charset: str) -> bool:
    """True for what `neutralise` wrote: mail that comes through here twice keeps its bytes."""
    if not untrusted_html.startswith(_LIKE_OURS):
        return False
    text = as_text(untrusted_html, charset)
    return charset.lower() == "utf-8" and neutralise(text) == text


def as_text(untrusted_html: bytes, charset: str) -> str:
    """Decode by the charset that was named, else as UTF-8, else as browsers do; what is in none becomes U+FFFD.

    Whatever is guessed wrong is wrong in what is shown, never in what acts: it is looked at, and written, decoded.
    """
    for name in (_as_browsers_say(charset), "utf-8"):
        try:
            return untrusted_html.decode(name)
        except (LookupError, ValueError):
            continue
    return untrusted_html.decode("cp1252", "replace")


def _as_browsers_say(charset: str) -> str:
    """The Encoding Standard: Latin-1 and ASCII are windows-1252 to a browser; no codec that gives no text."""
    try:
        name = codecs.lookup(charset).name if charset else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"
    return {"iso8859-1": "cp1252", "ascii": "utf-8"}.get(name, name)


def neutralise(untrusted_html: str, pictures: frozenset[str] = frozenset()) -> str:
    """The HTML without what acts, lines ended by CRLF; `pictures` are the data: URIs that this house made."""

    def kept(_element: str, name: str, value: str) -> str | None:
        return _kept(name, value, pictures)

    clean = untrusted_html
    for _ in range(_ROUNDS):
        before = clean
        clean = _cleaned(before, kept)
        if clean == before:
            break
    head = "<!DOCTYPE html>\n" if _DOCTYPE.match(untrusted_html) else ""
    page = f"{head}<html><body{_colours(untrusted_html)}>\n{clean.strip()}\n</body></html>\n"
    return page.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def _cleaned(untrusted_html: str, kept: Callable[[str, str, str], str | None]) -> str:
    return nh3.clean(
        untrusted_html,
        tags=set(_ELEMENTS),
        clean_content_tags=set(_WITH_CONTENT),
        attributes=_ATTRIBUTES,
        attribute_filter=kept,
        url_schemes=_SCHEMES,
        url_relative=_only_inside,
        filter_style_properties=set(_PROPERTIES),
    )


def _kept(name: str, value: str, pictures: frozenset[str]) -> str | None:
    """An attribute's value, or None where it goes."""
    if name == "style":
        return ";".join(piece for piece in value.split(";") if not _CSS_ACTS.search(piece)) or None
    allowed = _URLS.get(name)
    if allowed is None or allowed.match(value.strip()):
        return value
    return value if name == "src" and value in pictures else None


def _only_inside(url: str) -> str | None:
    """Of relative URLs those that stay on the page: a message has no base."""
    return url if url.startswith("#") else None


def _colours(untrusted_html: str) -> str:
    """The page's colours, or light words would stand on a light ground; plain tokens, so that they need no quoting."""
    body = _BODY.search(untrusted_html)
    found: dict[str, str] = {}
    for name, pattern in _BODY_COLOURS if body else ():
        if body and (colour := pattern.search(body[1])):
            found.setdefault(name, colour[1])
    return "".join(f' {name}="{colour}"' for name, colour in found.items())
