"""Parse and encode the `traceparent` header, which propagates a trace between services.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context-2/ (section 3.2; a malformed header is ignored).
"""

import re

import msgspec

_LENGTH_MAX = 512
"""Maximum length in bytes. Later versions may add fields; this leaves enough room for them."""
_SAMPLED, _RANDOM = 0x01, 0x02
_FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class TraceParent(msgspec.Struct, frozen=True, kw_only=True):
    """Identify one span: its trace, the span itself, and its flags."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def is_sampled(self) -> bool:
        """Return True if the trace is recorded."""
        return bool(self.flags & _SAMPLED)

    def encode(self) -> str:
        """Return the header's value."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"


def root_flags(*, is_sampled: bool) -> int:
    """Return the flags of a trace that begins at this gateway; its id is random."""
    return _RANDOM | (_SAMPLED if is_sampled else 0)


def read_traceparent(value: bytes) -> TraceParent | None:
    """Parse the caller's span, or return None if the header is malformed.

    Flags that this version does not know are dropped.
    """
    found = _FORM.fullmatch(value.strip()) if len(value) <= _LENGTH_MAX else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"00" and more is not None:
        return None
    return TraceParent(
        trace_id=int(trace_id, 16), span_id=int(span_id, 16), flags=int(flags, 16) & (_SAMPLED | _RANDOM)
    )
