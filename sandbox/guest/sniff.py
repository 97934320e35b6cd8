"""What a document is, by its content alone: libmagic, and a second look where libmagic stops short.

No name is known here, so none can lie. The answer is a media type; one that `families.READERS` does not list is a
type that is not flattened.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile

import magic
import olefile

from sandbox.guest import wrapper

# libmagic knows a container and stops there; these say what the container holds
OPC_MAIN_PARTS = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "Contents/": "application/hwp+zip",
}
# what is a zip and no archive of somebody's files: programs, and documents of kinds that are not read here
NO_ARCHIVES = {
    "META-INF/MANIFEST.MF": "application/java-archive",
    "AndroidManifest.xml": "application/vnd.android.package-archive",
    "Index/Document.iwa": "application/x-iwork",
    "[Content_Types].xml": "application/x-opc",  # ECMA-376 part 2, 6.2.3.2: also packages of Windows programs
    "mimetype": "application/x-ocf",  # OpenDocument part 2, EPUB and their like
}
OLE_STREAMS = {  # [MS-CFB] storages and streams at the root; the first that is present decides
    "EncryptedPackage": "application/encrypted",
    "HwpSummaryInformation": "application/x-hwp",
    "WordDocument": "application/msword",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "Workbook": "application/vnd.ms-excel",
    "Book": "application/vnd.ms-excel",
    "__properties_version1.0": "application/vnd.ms-outlook",
    "Quill": "application/x-mspublisher",
}
WORD_ENCRYPTED = 0x0100  # [MS-DOC] 2.5.1 FibBase.fEncrypted
POWERPOINT_ENCRYPTED = 0xF3D1C4DF  # [MS-PPT] 2.3.2 CurrentUserAtom.headerToken
HWP_ENCRYPTED = 0x0002 | 0x0010 | 0x0100  # HWP 5.0, FileHeader: a password, rights management, a certificate
OLE_TYPES = {"application/cdfv2", "application/x-ole-storage", "application/vnd.ms-office"}
OLE_TYPES |= {"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/x-hwp"}
ZIP_TYPES = {"application/zip", "application/octet-stream", "application/x-zip"}
NEVER_TEXT = re.compile(r"executable|\bscript\b|EICAR|batch file", re.IGNORECASE)
SVG = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg[\s>]")
HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
HEAD = 8192  # bytes looked at for a root element
OCTET_STREAM = "application/octet-stream"
STARTS = {  # what libmagic knows by other words or not at all
    b"\x78\x9f\x3e\x22": "application/vnd.ms-tnef",
    b"\x00\x05\x16\x00": "application/applefile",
    b"\x00\x05\x16\x07": "application/applefile",
}
# a message begins with fields, and nothing else up to a blank line; two of those that mail has are among them, and one
# that nobody writes by hand, or one that says of many parts. A note that begins with From and To is none.
FIELDS = re.compile(rb"(?:[!-9;-~]{1,80}:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n)+\r?\n")
FIELD = re.compile(rb"^([!-9;-~]{1,80}):", re.MULTILINE)
OF_PARTS = re.compile(rb"^content-type:[ \t]*(?:\r?\n[ \t]+)?multipart/", re.IGNORECASE | re.MULTILINE)
BY_PROGRAMS = {b"received", b"return-path", b"message-id", b"mime-version", b"content-type", b"delivered-to"}
OF_MAIL = BY_PROGRAMS | {b"from", b"to", b"cc", b"subject", b"date", b"content-transfer-encoding"}
LEAST_FIELDS = 2
HEADER = 1 << 16  # bytes in which a message's header ends


def media_type_of(document: bytes) -> str:
    """The media type of `document` by content, lower case; application/octet-stream where nothing is known."""
    if wrapper.is_macbinary(document):
        return "application/macbinary"
    return STARTS.get(document[:4]) or by_magic(document)


def by_magic(document: bytes) -> str:
    """What libmagic says, looked at again where it stops short."""
    found = str(magic.from_buffer(document, mime=True)).lower()
    if document.startswith(b"PK\x03\x04") and (found in ZIP_TYPES or "officedocument" in found):
        return zip_type(document, found)
    if document.startswith(b"\xd0\xcf\x11\xe0") and found in OLE_TYPES:
        return ole_type(document, found)
    if is_message(document):
        return "message/rfc822"
    if found.startswith(("text/", "message/")) or found in {
        "application/xml",
        "application/octet-stream",
        "application/json",
    }:
        return text_type(document, found)
    return found


def zip_type(document: bytes, found: str) -> str:
    """Look for the main part of an office package; a plain zip stays one."""
    try:
        names = zipfile.ZipFile(io.BytesIO(document)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError):
        return "application/zip" if found == OCTET_STREAM else found
    if "[Content_Types].xml" in names or "mimetype" in names:
        for start, media_type in OPC_MAIN_PARTS.items():
            if any(name.startswith(start) for name in names):
                return media_type
    known = next((kind for name, kind in NO_ARCHIVES.items() if name in names), found)
    if found in ZIP_TYPES and known != found:
        return known
    return "application/zip" if found == OCTET_STREAM else found


def ole_type(document: bytes, found: str) -> str:
    """Look for the stream that names the application of a compound file, and for the mark of encryption."""
    try:
        with olefile.OleFileIO(io.BytesIO(document)) as ole:
            names = {path[0].lstrip("\x05") for path in ole.listdir(streams=True, storages=True)}
            media_type = next((kind for stream, kind in OLE_STREAMS.items() if stream in names), found)
            return "application/encrypted" if is_encrypted(ole, media_type) else media_type
    except (OSError, ValueError, IndexError, struct.error):
        return found


def is_encrypted(ole: olefile.OleFileIO, media_type: str) -> bool:
    """True where Word, PowerPoint or HWP say so in their headers. Excel's is no proof: LibreOffice knows better."""
    if media_type == "application/msword":
        (flags,) = struct.unpack_from("<H", ole.openstream("WordDocument").read(12), 10)
        return bool(flags & WORD_ENCRYPTED)
    if media_type == "application/x-hwp" and ole.exists("FileHeader"):
        (flags,) = struct.unpack_from("<I", ole.openstream("FileHeader").read(40), 36)
        return bool(flags & HWP_ENCRYPTED)
    if media_type == "application/vnd.ms-powerpoint" and ole.exists("Current User"):
        (token,) = struct.unpack_from("<I", ole.openstream("Current User").read(16), 12)
        return bool(token == POWERPOINT_ENCRYPTED)
    return False


def text_type(document: bytes, found: str) -> str:
    """Programs and scripts are not documents, whatever they are written in; markup is known by its root element."""
    head = document[:HEAD]
    if NEVER_TEXT.search(magic.from_buffer(document)):
        return "application/x-executable"
    if SVG.search(head) and b"<html" not in head.lower():
        return "image/svg+xml"
    if HTML.search(head) and found in {"text/plain", "text/xml", "application/xml"}:
        return "text/html"
    if wrapper.BINHEX_START in head:
        return "application/mac-binhex40"
    if found in {"message/rfc822", "message/news"}:  # libmagic is content with the first field
        return "text/plain"
    return "text/plain" if found == OCTET_STREAM and is_text(document) else found


def is_message(document: bytes) -> bool:
    """True where a header block comes first that only a message has."""
    header = FIELDS.match(document[:HEADER])
    if not header:
        return False
    names = {name.lower() for name in FIELD.findall(header[0])} & OF_MAIL
    return (len(names) >= LEAST_FIELDS and bool(names & BY_PROGRAMS)) or bool(OF_PARTS.search(header[0]))


def is_text(document: bytes) -> bool:
    """True for UTF-8 or UTF-16 text that libmagic did not recognise (short files, rare scripts)."""
    encoding = "utf-16" if document[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    try:
        text = document.decode(encoding)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)
