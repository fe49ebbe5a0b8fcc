"""Whether an endpoint may be asked at all. Pure: it is told what happened, and when."""

from enum import Enum, auto

FAILURES_MAX = 5
"""Submissions that failed one after the other, whoever made them."""
PAUSE_S_FIRST = 5.0
PAUSE_S_MAX = 60.0
TRIAL_S_MAX = 30.0
"""When another request may try, should the one that tried first never tell: its client may have left."""
TRIAL_RETRY_S = 1.0
LATELY_S = 300.0
"""For so long after work was taken, an answer that only seems to come from Runpod is held to be a worker's."""


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    TRIAL_DUE = auto()
    """The endpoint's health was read; one request may find out whether it takes work too."""
    TRIAL = auto()


class Breaker:
    """Open after a row of failures.

    It closes over two steps: /health is read, which wakes no worker; then one request is let through, and the others
    when that one was taken. Where /health cannot be read either, the second step is taken after the longest rest.
    """

    def __init__(self) -> None:
        self._state = _State.CLOSED
        self._failures = 0
        self._pause_s = PAUSE_S_FIRST
        self._until_s = 0.0
        self._succeeded_at_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether requests are turned away, but for those that try."""
        return self._state is not _State.CLOSED

    def wants_look(self, now_s: float) -> bool:
        """Whether it is time to read the endpoint's health."""
        return self._state is _State.OPEN and now_s >= self._until_s

    def rest_s(self, now_s: float) -> float | None:
        """For how long nobody at all is let through; None where somebody may be."""
        return max(TRIAL_RETRY_S, self._until_s - now_s) if self._state is _State.OPEN else None

    def enter_s(self, now_s: float) -> float | None:
        """None for a request that may go now, which may make it the one that tries; else when another may."""
        is_trial_over = self._state is _State.TRIAL and now_s >= self._until_s
        if self._state is _State.TRIAL_DUE or is_trial_over:
            self._state, self._until_s = _State.TRIAL, now_s + TRIAL_S_MAX
            return None
        return TRIAL_RETRY_S if self._state is _State.TRIAL else self.rest_s(now_s)

    def looked(self, *, is_well: bool, now_s: float) -> None:
        """The endpoint's health was read, or could not be."""
        if self._state is _State.OPEN and now_s >= self._until_s:
            # Health that cannot be read may be all that is wrong: after the longest rest one request finds out.
            if is_well or self._pause_s >= PAUSE_S_MAX:
                self._state = _State.TRIAL_DUE
            else:
                self._open(now_s)

    def succeeded(self, now_s: float | None = None) -> None:
        """Work was taken; `now_s` is None where that is not news of the endpoint itself."""
        self._succeeded_at_s = self._succeeded_at_s if now_s is None else now_s
        self._state, self._failures, self._pause_s = _State.CLOSED, 0, PAUSE_S_FIRST

    def put_off(self) -> None:
        """Work was refused by a service that is there: the end of a trial, and no news in a row of failures."""
        if self._state is _State.TRIAL:
            self.succeeded()

    def failed(self, now_s: float) -> None:
        """Work could not be handed over."""
        self._failures += 1
        if self._state is _State.TRIAL or (self._state is _State.CLOSED and self._failures >= FAILURES_MAX):
            self._open(now_s)

    def doubted(self, now_s: float) -> None:
        """Work was refused, it is not known by whom; not for all requests, at an endpoint that took some lately."""
        if now_s - self._succeeded_at_s <= LATELY_S:
            self.put_off()
        else:
            self.failed(now_s)

    def _open(self, now_s: float) -> None:
        self._state, self._until_s = _State.OPEN, now_s + self._pause_s
        self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)
