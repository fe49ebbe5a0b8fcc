"""Enforce minimum rates for bodies of requests and responses. Pure; times are seconds of one clock, sizes are bytes.

With only a bound on the pause between two pieces, one byte every half minute could keep a connection open forever.
"""

BODY_BYTES_PER_S_MIN = 1024
"""Minimum rate in bytes per second: a body may take `read_s`, plus one second for each BODY_BYTES_PER_S_MIN bytes.
Apache's mod_reqtimeout has the same rule (`body=…,MinRate=…`)."""
LINGER_S = 2.0
"""Seconds for which a rejected connection is still read: if it were closed at once, its answer could be lost."""
LINGER_S_MAX = 30.0
"""Maximum of these seconds while the body arrives at LINGER_BYTES_PER_S_MIN or more: many clients read no answer before
they have sent the whole body. nginx has the same limit (`lingering_time`)."""
LINGER_BYTES_PER_S_MIN = 16 * 1024
READ_BYTES_PER_S_MIN = 16 * 1024
"""Minimum rate in bytes per second at which a client has to read, once the write buffer was full for `write_s`."""


class BodyPace:
    """Measure the rate of one body after the other."""

    __slots__ = ("_since_bytes", "_since_s")

    def __init__(self, now_s: float) -> None:
        self.begin(now_s, 0)

    def begin(self, now_s: float, came_bytes: int) -> None:
        """Start measuring: the body begins, its answer was sent, or the application did not read it until now."""
        self._since_s, self._since_bytes = now_s, came_bytes

    def is_too_slow(self, now_s: float, came_bytes: int, *, read_s: float) -> bool:
        """Return True if less was received than the minimum rate requires after a grace period of `read_s`."""
        return now_s - self._since_s >= read_s + (came_bytes - self._since_bytes) / BODY_BYTES_PER_S_MIN

    def is_linger_over(self, now_s: float, came_bytes: int) -> bool:
        """Return True if the rest of a body that was answered already must not be read any longer."""
        allowed_s = LINGER_S + (came_bytes - self._since_bytes) / LINGER_BYTES_PER_S_MIN
        return now_s - self._since_s >= min(allowed_s, LINGER_S_MAX)


class UnreadResponse:
    """Measure how fast a client reads, since the write buffer of its connection became full."""

    __slots__ = ("_bytes", "_since_s")

    def __init__(self, now_s: float, unread_bytes: int) -> None:
        self._since_s, self._bytes = now_s, unread_bytes

    def is_too_slow(self, now_s: float, unread_bytes: int, *, write_s: float) -> bool:
        """Return True if less was read than the minimum rate requires after a grace period of `write_s`."""
        return now_s - self._since_s >= write_s + (self._bytes - unread_bytes) / READ_BYTES_PER_S_MIN
