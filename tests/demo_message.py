"""The message of the demonstration: Word document, workbook, PDF with a program inside, archive, picture that is shown."""

from __future__ import annotations

import email.policy
import io
import zipfile
from email.message import EmailMessage, MIMEPart
from typing import Final

from tests.corpus import documents

OFFICE: Final = "vnd.openxmlformats-officedocument."
LINE: Final = "</w:t><w:br/><w:t>"  # a new line inside a run of a Word document


def letter() -> bytes:
    """Two pages of a Word document."""
    lines = ["Minutes of the harbour board", "", "Present: the master, the surgeon, the clerk.", ""]
    lines += [f"{number}. Ship {number} lies at anchor for {40 - number} days." for number in range(1, 16)]
    return documents.docx(LINE.join([*lines, "", "page"]), pages=2)


def report() -> bytes:
    """A PDF page with a chart; a script runs when it is opened, and a program is attached to it.

    By hand, since whatever wrote it must not be what writes the flattened ones: two files of one program share pieces.
    """
    drawn, payload = chart((120, 180, 90, 240)), b"MZ" + bytes(range(256)) * 20
    names = b"/Names << /EmbeddedFiles << /Names [ (payload.exe) 6 0 R ] >> >>"
    script = b"/OpenAction << /S /JavaScript /JS (app.alert\\('the original is open'\\)) >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %b %b >>" % (names, script),
        b"<< /Type /Pages /Kids [ 3 0 R ] /Count 1 /MediaBox [ 0 0 595 842 ] >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /Sans 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Filespec /F (payload.exe) /EF << /F 7 0 R >> >>",
        b"<< /Type /EmbeddedFile /Length %d >>\nstream\n%b\nendstream" % (len(payload), payload),
    ]
    return pdf_of(objects)


def chart(heights: tuple[int, ...]) -> bytes:
    """A bar for each, its number under it."""
    bars = [f"{72 + 85 * place} 400 60 {height} re f" for place, height in enumerate(heights)]
    labels = [f"1 0 0 1 {82 + 85 * place} 380 Tm (Q{place + 1}: {height}) Tj" for place, height in enumerate(heights)]
    title = "BT /Sans 24 Tf 72 760 Td (Quarterly report) Tj ET"
    return " ".join(["0.1 0.4 0.8 rg", *bars, "0 g", title, "BT /Sans 11 Tf", *labels, "ET"]).encode("ascii")


def papers() -> bytes:
    """An archive: a Word document in a folder, and a program."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("minutes/june.docx", letter()), ("setup.exe", b"MZ" + bytes(range(256)) * 20)):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def pdf_of(objects: list[bytes]) -> bytes:
    """Number the objects, the first of them the catalogue, and write where each begins."""
    written = b"%PDF-1.6\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, b"".join(places))
    end = b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(written))
    return written + table + end


def message() -> EmailMessage:
    """multipart/mixed, in it multipart/related, in it multipart/alternative."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"] = "sender@example.org", "recipient@example.net"
    made["Subject"] = "Papers for the board"
    made["Date"], made["Message-ID"] = "Mon, 01 Jan 2024 09:00:00 +0000", "<demo@example.org>"
    body, view = MIMEPart(email.policy.SMTP), MIMEPart(email.policy.SMTP)
    body.set_content("The papers are attached.\n")
    body.add_alternative('<p>The papers are attached.</p><img src="cid:view@example.org">\n', subtype="html")
    picture = {"disposition": "inline", "filename": "view.png", "cid": "<view@example.org>"}
    view.set_content(documents.png(320, 200), "image", "png", **picture)
    made.make_related()
    made.attach(body)
    made.attach(view)
    files = {
        "minutes.docx": (f"{OFFICE}wordprocessingml.document", letter()),
        "accounts.xlsx": (f"{OFFICE}spreadsheetml.sheet", documents.xlsx("Ship", rows=20)),
        "report.pdf": ("pdf", report()),
        "papers.zip": ("zip", papers()),
    }
    for name, (kind, content) in files.items():
        made.add_attachment(content, "application", kind, filename=name)
    return made
