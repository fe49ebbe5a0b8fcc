"""Limit the rate of log lines that clients can cause without a valid key. Pure."""

LINES_PER_S = 1


class LineLimit:
    """Allow one line per second for each kind, and count the suppressed lines.

    The kinds must be few and not chosen by clients, because state is kept for each of them.
    """

    def __init__(self) -> None:
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def admit(self, kind: str, now_s: float) -> int | None:
        """Return the number of lines of a kind suppressed since its last line; None if this one is suppressed too."""
        if now_s < self._next_s.get(kind, now_s):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._next_s[kind] = now_s + 1 / LINES_PER_S
        return self._left_out.pop(kind, 0)
