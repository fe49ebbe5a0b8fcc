"""Learn from the requests to an endpoint how long its workers stay up, and how long they take to start. Pure.

A request after a pause that is served promptly shows that workers survive a pause of that length; one that waits shows
that they do not. Each new lesson replaces older ones that contradict it.
"""

import msgspec

from gateway.endpoints.typical_times import TypicalTimes

IDLE_TIMEOUT_S = 5.0
"""Runpod's default idle timeout (endpoint configurations): a worker may stop this many seconds after its last request.
"""
STAY_MARGIN = 0.8
"""Factor below a known stay, because a relayed request has to arrive while the worker is still up."""
FORESIGHT = 4.0
"""Factor by which a pause may exceed the longest one survived so far, and is still expected to be survived."""
PROMPT_S = 2.0
"""A first output within these seconds needed no start: FlashBoot wakes within a second."""
PROMPTLY_TAKEN_S = 1.0
"""A job that waited at most these seconds in Runpod's queue found a worker that was up, or that FlashBoot revived."""
LOAD_S_MIN = 15.0
"""A worker that has a job and is silent for longer than these seconds is assumed to load its model. An assumption:
recorded cold starts take 44 s and more (golden paths 11 and 12), and first tokens of long prompts a few seconds."""
SLOW_FACTOR = 3.0
"""A first output slower than a prompt one by this factor, after a pause, shows that the worker was gone after all."""
IDLE_PAUSE_S_MIN = 1.0
"""Minimum seconds of a pause: Runpod's idle timeouts are whole seconds."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Describe the wait of a request for its first output."""

    waited_s: float
    queued_s: float
    """Part of the wait in which it was seen in Runpod's queue; zero for a relayed request."""
    is_first_token: bool
    """True if the output is a first token, and not a whole answer."""
    tenant: str = ""

    @property
    def start_s(self) -> float:
        """Return the seconds in which no worker can have served it: then one may have written a whole answer."""
        return self.waited_s if self.is_first_token else self.queued_s


class ColdStartStats:
    """Hold the lessons of one endpoint. A pause is None if there was none, or if it is unknown."""

    def __init__(self) -> None:
        self.loads_late = False
        """True if workers of this endpoint take jobs before their model is loaded."""
        self._survived_s = 0.0
        self._lost_s = float("inf")
        self._starts = TypicalTimes()
        self._warm_waits = TypicalTimes()

    @property
    def was_never_lost(self) -> bool:
        """Return True if no worker was found gone after a pause, or if pauses as long were survived since."""
        return self._lost_s == float("inf")

    @property
    def stay_s(self) -> float:
        """Return the seconds for which a worker is assumed to stay up after its last output."""
        return STAY_MARGIN * min(max(IDLE_TIMEOUT_S, self._survived_s), self._lost_s)

    @property
    def sure_stay_s(self) -> float:
        """Return the seconds for which a worker was seen to stay up: it may be configured to stop after one second."""
        return min(max(IDLE_PAUSE_S_MIN, STAY_MARGIN * self._survived_s), STAY_MARGIN * self._lost_s)

    @property
    def expected_stay_s(self) -> float:
        """Return the seconds for which a worker is expected to stay up."""
        return min(max(IDLE_TIMEOUT_S, FORESIGHT * self._survived_s), STAY_MARGIN * self._lost_s)

    @property
    def prompt_s(self) -> float:
        """Return the maximum seconds for a first output without a start: models differ in how fast they begin.

        With many requests at once they begin late too, which must not make a start look prompt.
        """
        return min(max(PROMPT_S, 2 * (self._warm_waits.typical_s() or 0.0)), LOAD_S_MIN)

    def usual_start_s(self) -> float | None:
        """Return the typical seconds of recent starts; None if none was seen."""
        return self._starts.typical_s()

    def learn_from_prompt(self, wait: Wait, *, loading_s: float, pause_s: float | None, is_first: bool) -> None:
        """Learn from the first token of a job that was taken at once: how fast the model begins, or that it loads.

        `loading_s` are the seconds since a worker took it; `is_first` is True if there was no output before.
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
            # A slow model, or a start: without earlier output this cannot be decided.
            self._starts.note(wait.tenant, waited_s)

    def learn_from_whole(self, waited_s: float, *, pause_s: float | None, had_worker: bool) -> None:
        """Learn from an answer in one piece. If it came soon after a pause, no model was loaded first.

        `had_worker` is True if a worker was seen to run so soon that it needed no start.
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
        # A model cannot be the cause of a wait before a worker has the request.
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
        """Record that a worker was still up after a pause."""
        if pause_s is None:
            return
        self._survived_s = max(self._survived_s, pause_s)
        if pause_s >= self._lost_s:
            # The endpoint's configuration has changed.
            self._lost_s = float("inf")

    def lose(self, pause_s: float | None) -> None:
        """Record that a worker was gone after a pause; without a pause, this shows nothing about stays."""
        if pause_s is not None:
            # Idle timeouts may be shorter than the default.
            self._lost_s = max(IDLE_PAUSE_S_MIN, pause_s)
            self._survived_s = min(self._survived_s, STAY_MARGIN * pause_s)

    def _start(self, tenant: str, start_s: float, pause_s: float | None) -> None:
        self._starts.note(tenant, start_s)
        self.lose(pause_s)
