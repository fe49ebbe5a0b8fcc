"""What the requests to an endpoint teach: how long its workers stay, how long they take to start. Pure.

A request after a pause that is served promptly shows that a pause of that length is survived, one that waits shows that
it is not. What was learned either way gives way to the next lesson.
"""

import msgspec

from gateway.exchange.typical_times import TypicalTimes

IDLE_TIMEOUT_S = 5.0
"""Runpod's default idle timeout (endpoint configurations): a worker may be gone this long after its last request."""
STAY_MARGIN = 0.8
"""A relayed request has to arrive while the worker is still there."""
FORESIGHT = 4.0
"""A pause up to this many times the longest one that was survived is expected to be survived too."""
PROMPT_S = 2.0
"""A first output within this time needed no start: FlashBoot wakes within a second."""
PROMPTLY_TAKEN_S = 1.0
"""A job that waited no longer than this in Runpod's queue found a worker that was up, or that FlashBoot revived."""
LOAD_S_MIN = 15.0
"""A worker that has a job and is silent for longer loads its model, as far as is known. An assumption: cold starts on
record take 44 s and more (golden paths 11 and 12), and first tokens of long prompts a few seconds."""
SLOW_FACTOR = 3.0
"""A first output this many times slower than a prompt one, after a pause, shows that the worker was gone after all."""
IDLE_PAUSE_S_MIN = 1.0
"""Shorter ones are none: Runpod's idle timeouts are whole seconds."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """How long a request waited for its first output."""

    waited_s: float
    queued_s: float
    """The part of it that it was seen to wait in Runpod's queue; none of a relayed request."""
    is_first_token: bool
    """Whether it is that, and not a whole answer."""
    tenant: str = ""

    @property
    def start_s(self) -> float:
        """Return how long no worker can have served it: a whole answer may have been written since a worker had it."""
        return self.waited_s if self.is_first_token else self.queued_s


class WakeLessons:
    """The lessons of one endpoint. A pause is None where there was none, or where nobody knows."""

    def __init__(self) -> None:
        self.loads_late = False
        """Whether workers of this endpoint take jobs before their model is loaded."""
        self._survived_s = 0.0
        self._lost_s = float("inf")
        self._starts = TypicalTimes()
        self._warm_waits = TypicalTimes()

    @property
    def was_never_lost(self) -> bool:
        """Report whether no worker was found gone, or not since longer pauses were survived."""
        return self._lost_s == float("inf")

    @property
    def stay_s(self) -> float:
        """Return how long a worker surely stays up after its last output."""
        return STAY_MARGIN * min(max(IDLE_TIMEOUT_S, self._survived_s), self._lost_s)

    @property
    def sure_stay_s(self) -> float:
        """Return how long one was seen to stay up: by default it may be configured to be gone in a second."""
        return min(max(IDLE_PAUSE_S_MIN, STAY_MARGIN * self._survived_s), STAY_MARGIN * self._lost_s)

    @property
    def expected_stay_s(self) -> float:
        """Return how long one is expected to."""
        return min(max(IDLE_TIMEOUT_S, FORESIGHT * self._survived_s), STAY_MARGIN * self._lost_s)

    @property
    def prompt_s(self) -> float:
        """Return how long a first output may take that needed no start: models differ in how fast they begin.

        With many requests at once they begin late too. That must not make a start look prompt.
        """
        return min(max(PROMPT_S, 2 * (self._warm_waits.typical_s() or 0.0)), LOAD_S_MIN)

    def usual_start_s(self) -> float | None:
        """Return how long a start took recently; None if none was seen."""
        return self._starts.typical_s()

    def learn_from_prompt(self, wait: Wait, *, loading_s: float, pause_s: float | None, is_first: bool) -> None:
        """Learn from the first token of a job that was taken at once: how fast the model begins, or that it loads.

        `loading_s` is how long its worker had it, `is_first` whether no output was ever seen before.
        """
        waited_s = wait.waited_s
        if is_first or pause_s is not None:
            self.loads_late = loading_s > self._load_s_min
            if self.loads_late:
                self._start(wait.tenant, waited_s, pause_s)
                return
        if not is_first and not self.loads_late:
            self._warm_waits.note(wait.tenant, waited_s)
            self.survive(pause_s)
        elif waited_s > self.prompt_s:
            # A slow model, or a start: of an endpoint that was never seen at work nobody can tell.
            self._starts.note(wait.tenant, waited_s)

    def learn_from_whole(self, waited_s: float, *, pause_s: float | None, had_worker: bool) -> None:
        """Learn from an answer in one piece. One that came soon after a pause had no load before it.

        `had_worker` tells whether a worker was seen to run so soon that it needed no start.
        """
        if pause_s is not None and waited_s <= self._load_s_min:
            self.loads_late = False
        if had_worker and not self.loads_late:
            self.survive(pause_s)

    @property
    def _load_s_min(self) -> float:
        return max(LOAD_S_MIN, SLOW_FACTOR * self.prompt_s)

    def learn_from_wait(self, wait: Wait, *, pause_s: float | None, was_warm: bool) -> None:
        """Learn from any other first output."""
        had_pause = (pause_s or 0.0) > IDLE_PAUSE_S_MIN
        was_gone = had_pause and wait.start_s > SLOW_FACTOR * self.prompt_s
        # No model is slow before a worker has its request.
        was_queued = wait.queued_s > SLOW_FACTOR * PROMPT_S and (had_pause or not was_warm)
        if was_queued:
            self._start(wait.tenant, wait.start_s, pause_s)
        elif was_warm and not was_gone and wait.is_first_token:
            self._warm_waits.note(wait.tenant, wait.waited_s)
        elif wait.waited_s <= self.prompt_s:
            self.survive(pause_s)
        elif wait.start_s > self.prompt_s and (was_gone or not was_warm):
            self._start(wait.tenant, wait.start_s, pause_s)

    def survive(self, pause_s: float | None) -> None:
        """Learn that a worker was still there after a pause."""
        if pause_s is None:
            return
        self._survived_s = max(self._survived_s, pause_s)
        if pause_s >= self._lost_s:
            # Its configuration has changed.
            self._lost_s = float("inf")

    def lose(self, pause_s: float | None) -> None:
        """Learn that a worker was gone after a pause; one that never was there says nothing of pauses."""
        if pause_s is not None:
            # Idle timeouts may be shorter than the default one.
            self._lost_s = max(IDLE_PAUSE_S_MIN, pause_s)
            self._survived_s = min(self._survived_s, STAY_MARGIN * pause_s)

    def _start(self, tenant: str, start_s: float, pause_s: float | None) -> None:
        self._starts.note(tenant, start_s)
        self.lose(pause_s)
