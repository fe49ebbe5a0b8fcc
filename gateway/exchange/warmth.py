"""Whether an endpoint has a worker that is up, as far as anybody here knows, and how long one takes to come. Pure."""

import statistics
from collections import deque

from gateway.errors import Lack
from gateway.wire.runpod import EndpointHealth

AWAKE_S = 5.0
"""How long a sign of life lasts: Runpod's default idle timeout, after which a worker may be gone."""
HEALTH_S_MAX = 15.0
"""How old a reading of /health may be to be believed."""
STARTS_KEPT = 8


class Warmth:
    """One endpoint's signs of life. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.waiting = 0
        """Jobs that no worker has taken yet."""
        self._at_work = 0
        self._awake_at_s = float("-inf")
        self._read_at_s = float("-inf")
        self._health = EndpointHealth()
        self._starts_s: deque[float] = deque(maxlen=STARTS_KEPT)

    def is_awake(self, now_s: float) -> bool:
        """Whether a worker is up: it runs a job of ours, or showed itself a moment ago."""
        return self._at_work > 0 or now_s - self._awake_at_s <= AWAKE_S

    def is_warm(self, now_s: float) -> bool:
        """Whether a worker is likely to be up still. Unknown is cold."""
        return self._at_work > 0 or now_s - self._awake_at_s <= HEALTH_S_MAX

    def health_age_s(self, now_s: float) -> float:
        """How old the last reading of /health is."""
        return now_s - self._read_at_s

    def read(self, health: EndpointHealth, now_s: float) -> None:
        """The endpoint's health was read."""
        self._health, self._read_at_s = health, now_s
        # `ready` may be said of a worker whose model still loads: a recording of the live service.
        if health.workers.get("idle", 0) + health.workers.get("running", 0) > 0:
            self._awake_at_s = now_s

    def submitted(self) -> None:
        """A job waits for a worker."""
        self.waiting += 1

    def took(self, now_s: float, *, waited_s: float | None = None) -> None:
        """A worker has begun with a request; with the job that was submitted before, after so long a wait."""
        if waited_s is not None:
            self.waiting -= 1
            if not self.is_awake(now_s):
                self._starts_s.append(waited_s)
        self._at_work += 1
        self._awake_at_s = now_s

    def ended(self, now_s: float) -> None:
        """A worker is done with a request."""
        self._at_work -= 1
        self._awake_at_s = now_s

    def withdrawn(self) -> None:
        """A job that waited waits no more, and no worker was seen to take it."""
        self.waiting -= 1

    def start_s(self) -> float | None:
        """How long a cold start took of late; None where none was seen."""
        return statistics.median(self._starts_s) if self._starts_s else None

    def lack(self, now_s: float) -> Lack:
        """What keeps workers away, by the last reading."""
        workers = self._health.workers
        if self.health_age_s(now_s) > HEALTH_S_MAX:
            return Lack.UNKNOWN
        if workers.get("initializing", 0) or workers.get("ready", 0):
            return Lack.STARTING
        if workers.get("throttled", 0):
            return Lack.THROTTLED
        if workers.get("unhealthy", 0):
            return Lack.UNHEALTHY
        if workers.get("idle", 0) + workers.get("running", 0):
            return Lack.BUSY
        return Lack.ABSENT
