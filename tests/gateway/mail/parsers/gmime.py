"""GMime, the parser of GNOME's mail programs and notmuch: messages in on standard input, a JSON list of leaves out.

Runs under the system's own Python, which has the bindings. Both ways a frame is four bytes of length, the highest first,
and so many bytes.
"""

import base64
import json
import sys

import gi

gi.require_version("GMime", "3.0")
from gi.repository import GMime  # noqa: E402

GMime.init()


def content_of(part):
    wrapper = part.get_content()
    if wrapper is None:
        return b""
    stream = GMime.StreamMem.new()
    wrapper.write_to_stream(stream)
    return bytes(stream.get_byte_array())


def leaves(part):
    if isinstance(part, GMime.Message):
        inner = part.get_mime_part()
        return leaves(inner) if inner else []
    if isinstance(part, GMime.MessagePart):
        message = part.get_message()
        return leaves(message) if message else []
    if isinstance(part, GMime.Multipart):
        return [leaf for at in range(part.get_count()) for leaf in leaves(part.get_part(at))]
    kind = part.get_content_type()
    name = (part.get_filename() or "") if isinstance(part, GMime.Part) else ""
    data = content_of(part) if isinstance(part, GMime.Part) else b""
    return [{"type": kind.get_mime_type().lower(), "name": name, "data": base64.b64encode(data).decode()}]


def answer_to(raw):
    stream = GMime.StreamMem.new_with_buffer(raw)
    message = GMime.Parser.new_with_stream(stream).construct_message(None)
    return leaves(message) if message else {"error": "no message"}


while size := sys.stdin.buffer.read(4):
    answer = json.dumps(answer_to(sys.stdin.buffer.read(int.from_bytes(size))), ensure_ascii=True).encode()
    sys.stdout.buffer.write(len(answer).to_bytes(4) + answer)
    sys.stdout.buffer.flush()
