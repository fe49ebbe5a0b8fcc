"""Server-sent events: bytes in any slices become data, data becomes frames.

The format is WHATWG's (HTML, section 9.2). OpenAI clients fail on frames without data, on `id:` and on a byte order
mark, so nothing here writes one; workers send pretty-printed JSON over several data lines, so reading joins them.
"""

import re
from typing import NamedTuple

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Runpod hands on at most 1 MB a yield; an answer that is one event may be larger on the OpenAI route."""


_FIELD_NAMES = frozenset({b"data", b"event", b"id", b"retry"})
_INDENTED_FIELD = re.compile(rb"[ \t]+(?:data|event|id|retry|error):")
_BARE_OBJECT = re.compile(rb'\{[ \t]{0,8}"')
_ERROR_NAME = re.compile(
    rb"(?i)event:[ \t]{0,8}(?:[a-z_-]{1,40}[._-])?(?:errors?|exception|failed|failure|fatal)[ \t]{0,8}"
)
"""What events that tell of a failure are called: `error` by most, `response.failed` by the Responses API."""
_UNKNOWN_FIELD = re.compile(rb"[A-Za-z][\w.-]{0,31}(?::[^{}\[\]\"]{0,256})?")


class EventTooLargeError(ValueError):
    """An event grew past the bound before it ended."""


class OddEvent(NamedTuple):
    """What stands between two blank lines and is no ordinary event."""

    data: bytes
    is_error: bool
    """True for an event named `error` or `failed`, or llama.cpp's field of that name; False for text that is no event
    at all: a piece of the stream is missing, or was put in twice."""


Events = list[bytes | OddEvent]
"""The data of ordinary events, and the odd ones between them."""


def encode_event(data: bytes) -> bytes:
    """Frame one event; `data` holds no line break."""
    return b"data: " + data + b"\n\n"


class EventReader:
    """Collects bytes in whatever slices they come and returns the data of each finished event.

    Comments, ids, retry times, unknown fields and all names but those of errors mean nothing in an OpenAI stream.
    """

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer = bytearray()
        self._searched = 0
        self._ends_in_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> Events:
        """Take the next slice; return the data of the events that it finished.

        Raises:
            EventTooLargeError: An event exceeds the bound.
        """
        if self._ends_in_cr or b"\r" in piece:
            piece = self._normalise(piece)
        buffer = self._buffer
        if not buffer and piece.find(b"\n\n") == len(piece) - 2 >= 0:
            # Just one event, as most workers send them.
            return self._data(piece[:-2])
        buffer += piece
        events: Events = []
        start = 0
        while (end := buffer.find(b"\n\n", max(start, self._searched))) >= 0:
            events.extend(self._data(bytes(buffer[start:end])))
            start = end + 2
        del buffer[:start]
        # A terminator may straddle this slice and the next one.
        self._searched = max(0, len(buffer) - 1)
        if len(buffer) > self._event_bytes_max:
            raise EventTooLargeError
        return events

    @property
    def rest(self) -> bytearray:
        """The bytes of an event that has not ended."""
        return self._buffer

    def end(self) -> Events:
        """Return the data of a last event that was not closed by a blank line: whole, or cut short."""
        rest, self._buffer, self._searched = bytes(self._buffer), bytearray(), 0
        return self._data(rest.rstrip(b"\n"), is_closed=False)

    def _normalise(self, piece: bytes) -> bytes:
        """Turn CRLF and lone CR into LF, also where a CRLF lies across two slices."""
        if self._ends_in_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ends_in_cr = False
        if piece:
            self._ends_in_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _data(self, event: bytes, *, is_closed: bool = True) -> Events:
        """Return the data of one event, in a list that is empty where it has none."""
        if self._at_start:
            self._at_start = False
            event = event.removeprefix(b"\xef\xbb\xbf")
        if event.startswith(b"data: ") and b"\n" not in event:
            data = event[6:]
            return [] if data.isspace() or not data else [data]
        # Workers that indent their source write blanks before a field's name.
        lines = [line.lstrip(b" \t") if _INDENTED_FIELD.match(line) else line for line in event.split(b"\n")]
        # A worker that fails in the middle of an event writes its error on the next line, without a field's name.
        data = b"\n".join(
            line.removeprefix(b"data:").removeprefix(b" ")
            for line in lines
            if line.startswith(b"data:") or _BARE_OBJECT.match(line)
        )
        errors = [line[6:].strip() for line in lines if line.startswith(b"error:")]
        if errors or any(_ERROR_NAME.fullmatch(line) for line in lines):
            return [OddEvent(b"\n".join([data, *errors]).strip(), is_error=True)]
        if event.strip() and not any(map(_is_known_field, lines)):
            # The format says to ignore unknown fields; but half an event is none.
            is_ignored = is_closed and all(not line or _UNKNOWN_FIELD.fullmatch(line) for line in lines)
            return [] if is_ignored else [OddEvent(event, is_error=False)]
        return [data] if data.strip() else []


def _is_known_field(line: bytes) -> bool:
    """Report whether a line is a comment or one of the fields of an event; `datadata: x` is neither."""
    return line[:1] == b":" or line.partition(b":")[0] in _FIELD_NAMES
