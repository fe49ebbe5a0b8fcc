"""Decide what a client receives around its answer: the head, keep-alive data, and a failure after the head. Pure."""

from collections.abc import Callable

import msgspec

from gateway.errors import GatewayError
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.error_body import INTERNAL_ERROR, error_answer

Headers = tuple[tuple[bytes, bytes], ...]
_BODY_HEADERS: Headers = ((b"content-type", b"application/json"),)


class KeepAliveIntervals(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the intervals in seconds after which a silent answer sends keep-alive data."""

    comment_s: float = 10.0
    """Seconds of silence before a stream sends a comment, while proxies allow 60 s. It is also how long the status line
    is held back, so that an early failure can still be an HTTP error."""
    chunk_s: float = 60.0
    """Seconds without output before a stream sends an empty chunk: LangChain times out 120 s after the last chunk, and
    ignores comments."""
    blank_s: float = 50.0
    """Seconds of silence before an answer without streaming sends a blank line ahead of its JSON, as DeepSeek does.
    After it a failure can only break off a 200, so it is sent late, shortly before proxies would time out."""


class ClientResponse:
    """Represent the response to one client: what was sent of it, and what has to be sent next. Status 200 once begun.

    A failure before the head is not its business: that is an HTTP error.
    """

    def __init__(
        self,
        client_format: ClientFormat,
        intervals: KeepAliveIntervals,
        *,
        is_stream: bool,
        idle_chunk: Callable[[], bytes],
        now_s: float,
    ) -> None:
        """Create it; `idle_chunk` returns an event without content, or no bytes."""
        self.has_begun = False
        """True if the head was sent."""
        self.is_finished = False
        """True if nothing more is sent."""
        self.keepalive_after_s = intervals.comment_s if is_stream else intervals.blank_s
        self.keepalive_at_s = now_s + self.keepalive_after_s
        """Time at which keep-alive data has to be sent, unless something else is sent before."""
        self._chunk_s = intervals.chunk_s
        self._stream = client_format.stream if is_stream else None
        self._idle_chunk = idle_chunk
        self._idle_chunks = 0
        self._output_at_s = now_s

    def begin(self, whole_body: bytes | None = None) -> Headers:
        """Note that the head is sent; return its headers. With the whole body, they include its length."""
        self.has_begun = True
        if self._stream is not None:
            return self._stream.headers
        if whole_body is None:
            return _BODY_HEADERS
        return (*_BODY_HEADERS, (b"content-length", b"%d" % len(whole_body)))

    def output_sent(self, now_s: float) -> None:
        """Note that a part of the answer is sent, which ends a silence."""
        self._idle_chunks, self._output_at_s = 0, now_s
        self.keepalive_at_s = now_s + self.keepalive_after_s

    def keepalive(self, now_s: float) -> bytes:
        """Return keep-alive data, which is sent now: a comment, or an empty chunk once per `chunk_s` without output.

        A format without comments sends empty chunks only. White space is allowed before the JSON of a whole body.
        """
        self.keepalive_at_s = now_s + self.keepalive_after_s
        if self._stream is None:
            return b"\n"
        comment = self._stream.comment
        if comment is not None and now_s - self._output_at_s < self._chunk_s * (self._idle_chunks + 1):
            return comment
        self._idle_chunks += 1
        return self._idle_chunk() or comment or b""

    def failure(self, error: Exception) -> bytes | None:
        """Return a failure after the head as the last event; None for a whole body, which can only be broken off."""
        if self._stream is None:
            return None
        return self._stream.error(error_answer(error) if isinstance(error, GatewayError) else INTERNAL_ERROR)
