"""Why a part is kept, changed or gone: words that are public, in the report, the log and notices. Constants only.

Those of sandbox.contract stand beside them; `notice.WHY` has a sentence for each that a recipient meets.
"""

from __future__ import annotations

from gateway.mail import ambiguity

DISPLAYED_TEXT = "displayed_text"
REPORT = "report"
CALENDAR = "calendar"
HTML_NEUTRALISED = "html_neutralised"  # displayed, without what acts
ENCRYPTED_TEXT = "encrypted_text"  # displayed, with a PGP message in it
ENCRYPTED_MAIL = "encrypted_mail"
SIGNATURE = "signature"
ATTACHMENT = "attachment"
INLINE_IMAGE = "inline_image"
HIDDEN_IN_TEXT = "hidden_in_text"
MESSAGE = "message"
MESSAGE_RENAMED = "message_renamed"
FRAGMENT = "fragment"
OPAQUE_SIGNED = "opaque_signed"
SIGNATURE_VOID = "signature_void"
RESOURCE_FORK = "resource_fork"  # of a Mac's file: metadata, which goes without a notice
HIDDEN_PART = "hidden_part"
AMBIGUOUS = "ambiguous"
HELD = "held"  # examinable, but it waits with its message
NOT_EXAMINED = "not_examined"
WHOLE = "whole"  # stands for the message as a whole where a part's id is asked for
MEMBER = "member"  # of a container that was opened
NOTHING_SAFE = "nothing_safe"  # in an archive
MESSAGE_TOO_LARGE = "message_too_large"  # flattened, but the message would have grown past Policy.most_bytes
OUR_REASONS = frozenset(
    {
        DISPLAYED_TEXT, HTML_NEUTRALISED, ENCRYPTED_TEXT, REPORT, CALENDAR, ENCRYPTED_MAIL, SIGNATURE, ATTACHMENT,
        INLINE_IMAGE, HIDDEN_IN_TEXT, MESSAGE, MESSAGE_RENAMED,
        FRAGMENT, OPAQUE_SIGNED, SIGNATURE_VOID, RESOURCE_FORK, HIDDEN_PART, AMBIGUOUS, HELD, NOT_EXAMINED,
        MESSAGE_TOO_LARGE, MEMBER, NOTHING_SAFE,
        ambiguity.TOO_DEEP, ambiguity.TOO_MANY_PARTS, ambiguity.HEADER_TOO_LARGE, ambiguity.TOO_MANY_HEADERS,
    }
)  # fmt: skip
