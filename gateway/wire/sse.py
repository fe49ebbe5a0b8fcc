"""Parse and encode server-sent events: bytes in any slices become data, data becomes frames.

The format is WHATWG's (HTML, section 9.2). OpenAI clients fail on frames without data, on `id:` and on a byte order
mark, so this module never writes them; workers send pretty-printed JSON over several data lines, so the parser joins
data lines.
"""

import re
from typing import NamedTuple

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Maximum size of one event in bytes. Runpod forwards at most 1 MB per yield; on the OpenAI route, an answer that is a
single event may be larger."""


_FIELD_NAMES = frozenset({b"data", b"event", b"id", b"retry"})
_INDENTED_FIELD = re.compile(rb"[ \t]+(?:data|event|id|retry|error):")
_BARE_OBJECT = re.compile(rb'\{[ \t]{0,8}"')
_ERROR_NAME = re.compile(
    rb"(?i)event:[ \t]{0,8}(?:[a-z_-]{1,40}[._-])?(?:errors?|exception|failed|failure|fatal)[ \t]{0,8}"
)
"""Event names that report a failure: `error` in most servers, `response.failed` in the Responses API."""
_UNKNOWN_FIELD = re.compile(rb"[A-Za-z][\w.-]{0,31}(?::[^{}\[\]\"]{0,256})?")


class EventTooLargeError(ValueError):
    """Report an event that exceeded the size limit before it ended."""


class OddEvent(NamedTuple):
    """Hold a block between two blank lines that is not an ordinary event."""

    data: bytes
    is_error: bool
    """True for an event whose name reports a failure, or with llama.cpp's field `error`. False for text that is not an
    event at all: a piece of the stream is missing or was inserted twice."""


Events = list[bytes | OddEvent]
"""Data of ordinary events, interleaved with the odd events."""


def encode_event(data: bytes) -> bytes:
    """Encode one event; `data` must not contain a line break."""
    return b"data: " + data + b"\n\n"


class EventReader:
    """Parse server-sent events from bytes in any slices, and return the data of each complete event.

    Comments, ids, retry times, unknown fields and event names other than those of errors are ignored: they have no
    meaning in an OpenAI stream.
    """

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer = bytearray()
        self._searched = 0
        self._ends_in_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> Events:
        """Parse the next slice; return the data of the events that it completed.

        Raises:
            EventTooLargeError: An event exceeds the size limit.
        """
        if self._ends_in_cr or b"\r" in piece:
            piece = self._normalise(piece)
        buffer = self._buffer
        if not buffer and piece.find(b"\n\n") == len(piece) - 2 >= 0:
            # Fast path: the slice is exactly one event, as most workers send it.
            return self._data(piece[:-2])
        buffer += piece
        events: Events = []
        start = 0
        while (end := buffer.find(b"\n\n", max(start, self._searched))) >= 0:
            events.extend(self._data(bytes(buffer[start:end])))
            start = end + 2
        del buffer[:start]
        # A terminator may be split across this slice and the next one.
        self._searched = max(0, len(buffer) - 1)
        if len(buffer) > self._event_bytes_max:
            raise EventTooLargeError
        return events

    @property
    def rest(self) -> bytearray:
        """Return the bytes of the incomplete event."""
        return self._buffer

    def end(self) -> Events:
        """Return the data of a last event, complete or truncated, that no blank line terminated."""
        rest, self._buffer, self._searched = bytes(self._buffer), bytearray(), 0
        return self._data(rest.rstrip(b"\n"), is_closed=False)

    def _normalise(self, piece: bytes) -> bytes:
        """Convert CRLF and lone CR to LF, also if a CRLF is split across two slices."""
        if self._ends_in_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ends_in_cr = False
        if piece:
            self._ends_in_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _data(self, event: bytes, *, is_closed: bool = True) -> Events:
        """Return the data of one event as a list, which is empty if the event has no data."""
        if self._at_start:
            self._at_start = False
            event = event.removeprefix(b"\xef\xbb\xbf")
        if event.startswith(b"data: ") and b"\n" not in event:
            data = event[6:]
            return [] if data.isspace() or not data else [data]
        # Workers with indented multi-line literals in their source write blanks before a field's name.
        lines = [line.lstrip(b" \t") if _INDENTED_FIELD.match(line) else line for line in event.split(b"\n")]
        # A worker that fails in the middle of an event writes its error as a bare object on the next line.
        data = b"\n".join(
            line.removeprefix(b"data:").removeprefix(b" ")
            for line in lines
            if line.startswith(b"data:") or _BARE_OBJECT.match(line)
        )
        errors = [line[6:].strip() for line in lines if line.startswith(b"error:")]
        if errors or any(_ERROR_NAME.fullmatch(line) for line in lines):
            return [OddEvent(b"\n".join([data, *errors]).strip(), is_error=True)]
        if event.strip() and not any(map(_is_known_field, lines)):
            # The format requires ignoring unknown fields, but part of an event is not an unknown field.
            is_ignored = is_closed and all(not line or _UNKNOWN_FIELD.fullmatch(line) for line in lines)
            return [] if is_ignored else [OddEvent(event, is_error=False)]
        return [data] if data.strip() else []


def _is_known_field(line: bytes) -> bool:
    """Return True if a line is a comment or a known field of an event; `datadata: x` is neither."""
    return line[:1] == b":" or line.partition(b":")[0] in _FIELD_NAMES
