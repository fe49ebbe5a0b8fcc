"""How slowly a client may send the body of a request. Pure; times are seconds of one clock, sizes bytes of the body.

A bound on the pause between two pieces alone would let one byte every half minute hold a connection for ever.
"""

BODY_BYTES_PER_S_MIN = 1024
"""A body may take `read_s`, and a second more for so many bytes of it. Apache's mod_reqtimeout: `body=…,MinRate=…`."""
LINGER_S = 2.0
"""How long a connection that was refused is still read from: closed at once, its answer could be lost on the way."""
LINGER_S_MAX = 30.0
"""The same while the body still comes at a good rate, as many clients read no answer before they have sent all of it.
nginx: `lingering_time`."""
LINGER_BYTES_PER_S_MIN = 16 * 1024


class BodyPace:
    """The pace of one body after the other."""

    __slots__ = ("_since_bytes", "_since_s")

    def __init__(self, now_s: float) -> None:
        self.begin(now_s, 0)

    def begin(self, now_s: float, came_bytes: int) -> None:
        """Count from here: the body begins, its answer was sent, or it was not asked for until now."""
        self._since_s, self._since_bytes = now_s, came_bytes

    def is_too_slow(self, now_s: float, came_bytes: int, *, read_s: float) -> bool:
        """Tell whether less has come than the least rate asks for, `read_s` being allowed on top of it."""
        return now_s - self._since_s >= read_s + (came_bytes - self._since_bytes) / BODY_BYTES_PER_S_MIN

    def is_linger_over(self, now_s: float, came_bytes: int) -> bool:
        """Tell whether the rest of a body that was answered already need not be read any longer."""
        allowed_s = LINGER_S + (came_bytes - self._since_bytes) / LINGER_BYTES_PER_S_MIN
        return now_s - self._since_s >= min(allowed_s, LINGER_S_MAX)
