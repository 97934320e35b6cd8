"""What guest and host say to each other: frames, limits and reasons.

The guest (untrusted, inside gVisor) imports this file, and so does the host (trusted). It holds constants only and
imports nothing, so that neither side can be changed through it. The host believes nothing that arrives in this form:
`sandbox/host/untrusted_answer.py` checks each field against its bound before it is used.

Host to guest, on standard input:   PREPARE* OPEN, REQUEST header, then exactly `length` bytes of document, end of file.
Guest to host, on standard output:  PREPARED for each PREPARE, then HELLO FOUND OPENED? (PAGE PIXELS* TEXT?)* END
                                    or HELLO FOUND OPENED? CONTAINER (MEMBER BYTES* LEFT?)* END, where FLAG_UNPACK asked
                                    or HELLO FOUND? OPENED? FAILED
and then end of file. A byte after END or FAILED makes the whole answer void. All integers are big-endian, unsigned.

Between PREPARED and OPEN a guest stands warm: it has read nothing of any document, and can be kept so, or frozen into a
snapshot from which others are started. One that is started so has nothing to prepare and is sent OPEN at once.
"""

VERSION = 4
MAGIC = b"LAZ"

# struct format of a command: magic, version, what is asked, flags, seed (of OPEN)
COMMAND = ">3sBBB32s"
PREPARE = 1  # load what documents will need
OPEN = 2  # a document follows; the seed is fresh, and unlike that of any other sandbox
PREPARE_OFFICE = 1  # LibreOffice too, which most documents can do without
PREPARE_HWP = 4  # LibreOffice with Java, as a program: for HWP and HWPX
PREPARE_WHOLE = 2  # go the whole way with documents of our own: for a snapshot, which pays for it once
OPEN_EARLY = 1  # nobody waits yet: draw a page of your own first, since a restored guest pays for each first touch

# struct format of a request: magic, version, flags, dpi, max_pages, max_page_pixels, max_total_pixels,
# max_page_points, max_text_bytes (a page), max_members, max_member_bytes (all together), length of the document,
# and what its sender calls the charset of a text, ASCII, filled up with zeros; empty where nothing was said
REQUEST = ">3sBHHIQQIIIQQ40s"
FLAG_TEXT = 1  # send the text layer
FLAG_IMAGE = 2  # the document is wanted as one picture: first frame only, a pixel for a pixel
FLAG_UNPACK = 4  # a container is answered with what is in it; without this it is of an unknown type

# every frame: type, length of the payload
FRAME = ">BI"
HELLO = 1  # magic, version (HELLO_PAYLOAD)
FOUND = 2  # media type found by content, ASCII, at most MAX_MEDIA_TYPE bytes
PAGE = 3  # width, height in pixels; width, height in thousandths of a point (PAGE_PAYLOAD)
PIXELS = 4  # the next bytes of the page's RGB rows, 3 bytes a pixel, no padding; at most MAX_CHUNK
TEXT = 5  # the page's text, UTF-8: a line a run, "x0 y0 x1 y1 text", hundredths of a point from the top left
END = 6  # number of pages or members sent (END_PAYLOAD)
FAILED = 7  # one of GUEST_REASONS, ASCII
PREPARED = 8  # no payload: what PREPARE asked for is done
OPENED = 9  # no payload: its reader has opened the document, what follows is drawing; for the times in the log
CONTAINER = 10  # what the document is, one of FORMS (CONTAINER_PAYLOAD); its members follow
MEMBER = 11  # name of the next member, UTF-8 with its folders, at most MAX_NAME bytes; empty where it has none
BYTES = 12  # the next bytes of the member; at most MAX_CHUNK. They are the sender's, for other sandboxes only
LEFT = 13  # the member is not to be had: one of GUEST_REASONS; what came of it does not count

HELLO_PAYLOAD = ">3sB"
PAGE_PAYLOAD = ">IIII"
END_PAYLOAD = ">I"
CONTAINER_PAYLOAD = ">B"

ARCHIVE = 1  # any number of files
MESSAGE = 2  # one member: a whole message, RFC 5322
PARTS = 3  # one member: a MIME entity whose parts were wrapped up otherwise (TNEF)
WRAPPER = 4  # one member: a file that was wrapped up alone (AppleSingle, BinHex)
FORMS = (ARCHIVE, MESSAGE, PARTS, WRAPPER)

MAX_MEDIA_TYPE = 127  # RFC 6838 section 4.2: a type and a subtype of at most 127 together is more than any in use
MAX_CHUNK = 1 << 20  # bytes of pixels in one frame; bounds the host's buffer
MAX_NAME = 1024
MAX_REASON = 32

# Why a document was not flattened. These words are public: `convert --json`, `filter --report`, notices and the log.
ENCRYPTED = "encrypted"  # needs a password or a key
CORRUPT = "corrupt"  # its own reader could not open it, or no page could be drawn
EMPTY = "empty"  # no bytes, or nothing that could be shown
UNKNOWN_TYPE = "unknown_type"  # not a kind of document that can be flattened
TOO_MANY_PAGES = "too_many_pages"
PAGE_TOO_LARGE = "page_too_large"  # wider or higher than the bound, in points
TOO_MANY_PIXELS = "too_many_pixels"  # one page, or all of them together
OUT_OF_MEMORY = "out_of_memory"  # said by the guest, or found by the host when the sandbox was killed
TOO_MANY_MEMBERS = "too_many_members"  # in a container
UNPACKED_TOO_LARGE = "unpacked_too_large"  # all members of a container together
# these are the host's own findings; a guest that claims one is lying
DOCUMENT_TOO_LARGE = "document_too_large"  # more bytes in than the bound
OUTPUT_TOO_LARGE = "output_too_large"  # more bytes out than the bound
DEADLINE = "deadline"  # wall-clock or processor time ran out
TYPE_MISMATCH = "type_mismatch"  # called a PDF by its name, mere text by its content: no reader would open it as either
SANDBOX_DIED = "sandbox_died"  # ended without an end mark
SANDBOX_LIED = "sandbox_lied"  # broke this contract

GUEST_REASONS = frozenset(
    {
        ENCRYPTED,
        CORRUPT,
        EMPTY,
        UNKNOWN_TYPE,
        TOO_MANY_PAGES,
        PAGE_TOO_LARGE,
        TOO_MANY_PIXELS,
        OUT_OF_MEMORY,
        TOO_MANY_MEMBERS,
        UNPACKED_TOO_LARGE,
    }
)
HOST_REASONS = frozenset({DOCUMENT_TOO_LARGE, OUTPUT_TOO_LARGE, DEADLINE, TYPE_MISMATCH, SANDBOX_DIED, SANDBOX_LIED})
REASONS = GUEST_REASONS | HOST_REASONS
