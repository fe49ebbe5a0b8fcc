"""Bound how slowly a client may send the body of a request. Pure; times are seconds of one clock, sizes are bytes.

A bound on the pause between two pieces alone would let one byte every half minute hold a connection for ever.
"""

BODY_BYTES_PER_S_MIN = 1024
"""The least rate: a body may take `read_s`, and one second more for each of these many bytes. Apache's mod_reqtimeout
has the same rule (`body=…,MinRate=…`)."""
LINGER_S = 2.0
"""The time for which a refused connection is still read from. If it were closed at once, its answer could be lost."""
LINGER_S_MAX = 30.0
"""The same time while the body comes at a good rate: many clients read no answer before they have sent all of it.
nginx has the same limit (`lingering_time`)."""
LINGER_BYTES_PER_S_MIN = 16 * 1024


class BodyPace:
    """Measure the pace of one body after the other."""

    __slots__ = ("_since_bytes", "_since_s")

    def __init__(self, now_s: float) -> None:
        self.begin(now_s, 0)

    def begin(self, now_s: float, came_bytes: int) -> None:
        """Start counting: the body begins, its answer was sent, or the application did not ask for it until now."""
        self._since_s, self._since_bytes = now_s, came_bytes

    def is_too_slow(self, now_s: float, came_bytes: int, *, read_s: float) -> bool:
        """Tell whether less has come than the least rate requires after a grace of `read_s`."""
        return now_s - self._since_s >= read_s + (came_bytes - self._since_bytes) / BODY_BYTES_PER_S_MIN

    def is_linger_over(self, now_s: float, came_bytes: int) -> bool:
        """Tell whether the rest of a body that was answered already need not be read any longer."""
        allowed_s = LINGER_S + (came_bytes - self._since_bytes) / LINGER_BYTES_PER_S_MIN
        return now_s - self._since_s >= min(allowed_s, LINGER_S_MAX)
