"""Limit the log lines that anybody can cause. Pure."""

LINES_PER_S = 1


class LineLimit:
    """Let one line a second through for each kind, and count those that are left out.

    The kinds must be few and not chosen by clients, because each of them is remembered.
    """

    def __init__(self) -> None:
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def admit(self, kind: str, now_s: float) -> int | None:
        """Return how many lines of a kind were left out since its last one; None if this one is to be left out too."""
        if now_s < self._next_s.get(kind, now_s):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._next_s[kind] = now_s + 1 / LINES_PER_S
        return self._left_out.pop(kind, 0)
