"""Messages in the form in which programs in wide use write them; all made for the tests."""

from __future__ import annotations

import base64
import hashlib

from tests.gateway.mail.letters import ENCODED, mixed

HEAD = (
    b"Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby in.example.net (Postfix) with ESMTPS id 4F\r\n"
    b"\tfor <b@example.net>; Mon,  1 Jan 2024 00:00:00 +0000 (UTC)\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=x;\r\n        h=to:subject:date:from\r\n"
    b"        :mime-version:\r\n         Content-Type:From; bh=abc=;\r\n        b=abcdef\r\n         ghi==\r\n"
    b"From: =?UTF-8?Q?J=C3=BCrgen?= <a@example.org>\r\nTo: b@example.net\r\n"
    b"Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n =?utf-8?B?R3LDvMOfZQ==?=\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"Message-ID:\r\n <0123456789@mail.example.org>\r\nMIME-Version: 1.0\r\n"
)
FILE = ENCODED.removesuffix(b"\r\n")

ORDINARY: dict[str, bytes] = {
    "no mime at all": b"From: a@example.org\r\nSubject: x\r\n\r\nHi\r\n\r\n-- \r\nA.\r\n",
    "mutt": HEAD.replace(b"MIME-Version: 1.0", b"Mime-Version: 1.0")
    + b"Content-Type: text/plain; charset=us-ascii\r\nContent-Disposition: inline\r\nUser-Agent: Mutt/2.2\r\n\r\n"
    b"On Mon, A wrote:\r\n> begin of something\r\n> and so on\r\n-- \r\nB\r\n",
    "8bit with long lines": HEAD
    + b"Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "Grüße aus Köln ".encode() * 60
    + b"\r\nbegin with this, 100 times\r\nbegin 100 years ago\r\n",
    "format flowed with quoted-printable": HEAD
    + b"Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"A line that goes on and on =\r\nand on, 3 =3D 3, caf=C3=A9=20\r\nlast=\r\n",
    "base64 html": HEAD + b'Content-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    b"PGh0bWwgPg0KPGJvZHk+DQp0ZXh0IG1lc3NhZ2UNCjwvYm9keT4NCjwvaHRtbD4=\r\n\r\n",
    "gmail alternative": HEAD + b'Content-Type: multipart/alternative; boundary="000000000000abcdef0123456789"\r\n\r\n'
    b'--000000000000abcdef0123456789\r\nContent-Type: text/plain; charset="UTF-8"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nHi =E2=9C=93\r\n\r\n"
    b'--000000000000abcdef0123456789\r\nContent-Type: text/html; charset="UTF-8"\r\n'
    b'Content-Transfer-Encoding: quoted-printable\r\n\r\n<div dir=3D"ltr">Hi<a href=3D"https://x.example/?t=3D'
    b"abcdEFGH0123456789abcdEFGH0123456789abcdEFGH012345678901234567890123456789=\r\n"
    b'abcdEFGH0123456789abcdEFGH0123456789abcdEFGH0123456789">x</a></div>\r\n\r\n'
    b"--000000000000abcdef0123456789--\r\n",
    "outlook with a preamble": HEAD.replace(b"MIME-Version: 1.0\r\n", b"")
    + b'Content-Type: multipart/alternative;\r\n\tboundary="----=_NextPart_000_0001_01DA0000.00000000"\r\n'
    b"MIME-Version: 1.0\r\nX-Mailer: Microsoft Outlook 16.0\r\nContent-Language: en-us\r\n\r\n"
    b"This is a multi-part message in MIME format.\r\n\r\n"
    b'------=_NextPart_000_0001_01DA0000.00000000\r\nContent-Type: text/plain;\r\n\tcharset="iso-8859-1"\r\n'
    b"Content-Transfer-Encoding: 7bit\r\n\r\nHello\r\n\r\n"
    b'------=_NextPart_000_0001_01DA0000.00000000\r\nContent-Type: text/html;\r\n\tcharset="iso-8859-1"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p class=3DMsoNormal>Hello</p>\r\n\r\n"
    b"------=_NextPart_000_0001_01DA0000.00000000--\r\n\r\n",
    "apple mail, attachment": HEAD.replace(
        b"MIME-Version: 1.0", b"Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3774.100.2\\))"
    )
    + b'Content-Type: multipart/mixed;\r\n\tboundary="Apple-Mail=_0A1B2C3D-4E5F-6789-ABCD-EF0123456789"\r\n\r\n\r\n'
    b"--Apple-Mail=_0A1B2C3D-4E5F-6789-ABCD-EF0123456789\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b"Content-Type: text/plain;\r\n\tcharset=utf-8\r\n\r\nSee attached=20\r\n\r\n\r\n"
    b"--Apple-Mail=_0A1B2C3D-4E5F-6789-ABCD-EF0123456789\r\nContent-Disposition: attachment;\r\n"
    b"\tfilename*=utf-8''Bericht%20%C3%BC.docx\r\n"
    b"Content-Type: application/vnd.openxmlformats-officedocument.wordprocessingml.document;\r\n\tx-unix-mode=0644;\r\n"
    b'\tname="=?utf-8?Q?Bericht_=C3=BC=2Edocx?="\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    + FILE
    + b"\r\n--Apple-Mail=_0A1B2C3D-4E5F-6789-ABCD-EF0123456789--\r\n",
    "thunderbird, attachment with a long name": HEAD
    + b'Content-Type: multipart/mixed; boundary="------------0abcdefghijklmnopqrstuvw"\r\nContent-Language: de-DE\r\n\r\n'
    b"This is a multi-part message in MIME format.\r\n--------------0abcdefghijklmnopqrstuvw\r\n"
    b"Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHallo\r\n"
    b"--------------0abcdefghijklmnopqrstuvw\r\nContent-Type: application/pdf;\r\n"
    b' name="=?UTF-8?Q?Ein_sehr_langer_Name_mit_=C3=84nderungen_und_noch_mehr?=\r\n =?UTF-8?Q?_W=C3=B6rtern=2Epdf?="\r\n'
    b"Content-Disposition: attachment;\r\n filename*0*=UTF-8''Ein%20sehr%20langer%20Name%20mit%20%C3%84nderungen%20;\r\n"
    b" filename*1*=und%20noch%20mehr%20W%C3%B6rtern.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + ENCODED
    + b"\r\n--------------0abcdefghijklmnopqrstuvw--\r\n",
    "gmail, attachment": HEAD
    + b'Content-Type: multipart/mixed; boundary="0000000000001234560612345678"\r\n\r\n--0000000000001234560612345678\r\n'
    b'Content-Type: multipart/alternative; boundary="0000000000001234550612345676"\r\n\r\n'
    b'--0000000000001234550612345676\r\nContent-Type: text/plain; charset="UTF-8"\r\n\r\nHi\r\n\r\n'
    b'--0000000000001234550612345676\r\nContent-Type: text/html; charset="UTF-8"\r\n\r\n<div>Hi</div>\r\n\r\n'
    b"--0000000000001234550612345676--\r\n--0000000000001234560612345678\r\n"
    b'Content-Type: application/pdf; name="Angebot =?UTF-8?B?w7w=?=.pdf"\r\n'
    b'Content-Disposition: attachment; filename="Angebot =?UTF-8?B?w7w=?=.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\nContent-ID: <f_abc0>\r\nX-Attachment-Id: f_abc0\r\n\r\n"
    + FILE
    + b"\r\n--0000000000001234560612345678--\r\n",
    "outlook, inline image": HEAD
    + b'Content-Type: multipart/related;\r\n\tboundary="_004_AM0PR0101MB_";\r\n\ttype="text/html"\r\n\r\n'
    b'--_004_AM0PR0101MB_\r\nContent-Type: text/html; charset="us-ascii"\r\nContent-Transfer-Encoding: quoted-printable\r\n'
    b'\r\n<img src=3D"cid:image001.png@01DA0000.00000000">\r\n\r\n--_004_AM0PR0101MB_\r\n'
    b'Content-Type: image/png; name="image001.png"\r\nContent-Description: image001.png\r\n'
    b'Content-Disposition: inline; filename="image001.png"; size=900;\r\n'
    b'\tcreation-date="Mon, 01 Jan 2024 00:00:00 GMT";\r\n\tmodification-date="Mon, 01 Jan 2024 00:00:00 GMT"\r\n'
    b"Content-ID: <image001.png@01DA0000.00000000>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + ENCODED
    + b"\r\n--_004_AM0PR0101MB_--\r\n",
    "mailing list footer": HEAD
    + b'Content-Type: multipart/mixed; boundary="===============1234567890=="\r\n\r\n--===============1234567890==\r\n'
    b"Content-Type: text/plain; charset=us-ascii\r\n\r\nHi\r\n--===============1234567890==\r\n"
    b'Content-Type: text/plain; charset="us-ascii"\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n'
    b"Content-Disposition: inline\r\n\r\n____________\r\nlist mailing list\r\n\r\n--===============1234567890==--\r\n",
    "smtputf8": "From: пример@пример.рф\r\nSubject: Привет ✓\r\n\r\nbody\r\n".encode(),
    "text with a key": HEAD
    + b"Content-Type: text/plain; charset=us-ascii\r\n\r\nMy key:\r\n\r\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n"
    b"Comment: hi there\r\n\r\n" + FILE + b"\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n".replace(b"JVBE", b"mQEN"),
}
ORDINARY["text with a key"] = ORDINARY["text with a key"].replace(b"JVBERi0x", b"mQENBFAx")
RANDOM = b"\r\n".join(base64.b64encode(hashlib.sha512(b"%d" % n).digest()[:48]) for n in range(12)) + b"\r\n"
PLAIN = HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
ORDINARY |= {
    "dkim with a content-type before a slash": PLAIN.replace(b"bh=abc=", b"bh=a/bc="),
    "quoted key": PLAIN
    + b"> -----BEGIN PGP PUBLIC KEY BLOCK-----\r\n> \r\n> "
    + RANDOM.replace(b"\n", b"\n> ")
    + b"-\r\n",
    "signed text": PLAIN
    + b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nHi\r\n- -- \r\nA\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\n"
    + RANDOM
    + b"=abcd\r\n-----END PGP SIGNATURE-----\r\n",
    "ssh key on many lines": PLAIN + b"ssh-rsa AAAAB3NzaC1yc2E" + RANDOM,
    "dkim key on many lines": PLAIN + b"v=DKIM1; k=rsa; p=" + RANDOM,
    "tokens": PLAIN
    + b"https://x.example/?t=TVqQ"
    + RANDOM.replace(b"\r\n", b"")
    + b"\r\neyJhbGciOiJIUzI1NiJ9.eyJhbGciOiJIUzI1NiJ9eyJhbGciOi.x\r\n",
    "binary patch": PLAIN
    + b"GIT binary patch\r\nliteral 300\r\n"
    + b"z"
    + base64.b85encode(RANDOM[:52])
    + b"\r\n-- \r\n2.30\r\n",
    "dots and From": PLAIN + b"..\r\n.x\r\nFrom me\r\n.\r\n",
    "other displays of html": mixed(
        b"Content-Type: text/plain\r\n\r\nHi\r\n",
        b"Content-Type: text/watch-html\r\n\r\n<b>Hi</b>\r\n",
        b"Content-Type: text/x-amp-html\r\n\r\n<html amp4email>Hi</html>\r\n",
        b"Content-Type: text/html\r\n\r\n<p>Hi</p>\r\n",
        subtype=b"alternative",
        top=HEAD,
    ),
    "report in utf-8": mixed(
        b"Content-Type: text/plain\r\n\r\nBack\r\n",
        "Content-Type: message/global-delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: utf-8; ü@x\r\n".encode(),
        b"Content-Type: message/global-headers\r\n\r\nSubject: x\r\n",
        subtype=b"report; report-type=global-delivery-status",
        top=HEAD,
    ),
    "message called by its subject": mixed(
        b'Content-Type: message/rfc822; name="Re: hello"\r\nContent-Disposition: inline; filename="Re: hello"\r\n\r\nSubject: x\r\n\r\nHi\r\n',
        top=HEAD,
    ),
    "list footer behind the end": mixed(b"Content-Type: text/plain\r\n\r\nHi\r\n", top=HEAD)
    + b"_______________________________________________\r\nhttps://lists.example.org/mailman/listinfo/some-list-of-ours\r\n",
}
