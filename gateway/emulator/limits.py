"""Enforce Runpod's published limits for each operation with windows and counters. Pure; takes now_s."""

from collections import deque
from enum import StrEnum

import msgspec

WINDOW_S = 10.0


class Operation(StrEnum):
    """Name the calls of the job API, then those of the worker API, as in their paths."""

    RUN = "run"
    RUNSYNC = "runsync"
    STATUS = "status"
    STATUS_SYNC = "status-sync"
    STREAM = "stream"
    CANCEL = "cancel"
    RETRY = "retry"
    PURGE_QUEUE = "purge-queue"
    HEALTH = "health"
    REQUESTS = "requests"
    OPENAI = "openai"
    JOB_TAKE = "job-take"
    JOB_TAKE_BATCH = "job-take-batch"
    JOB_STOP = "job-stop"
    JOB_STREAM = "job-stream"
    JOB_DONE = "job-done"
    PING = "ping"


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold the limits of one operation of one endpoint; None means no limit."""

    per_10s: int | None = None
    concurrent: int | None = None


# Runpod docs, "Send API requests", rate limits. Operations missing there have no limit here.
PUBLISHED: dict[Operation, Limit] = {
    Operation.RUN: Limit(per_10s=1000, concurrent=200),
    Operation.RUNSYNC: Limit(per_10s=2000, concurrent=400),
    Operation.STATUS: Limit(per_10s=2000, concurrent=400),
    Operation.STATUS_SYNC: Limit(per_10s=2000, concurrent=400),
    Operation.STREAM: Limit(per_10s=2000, concurrent=400),
    Operation.CANCEL: Limit(per_10s=100, concurrent=20),
    Operation.PURGE_QUEUE: Limit(per_10s=2),
    Operation.REQUESTS: Limit(per_10s=10, concurrent=2),
    Operation.OPENAI: Limit(per_10s=2000, concurrent=400),
}


class LimitReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report the calls of one operation since the start or the last reset."""

    calls_10s_max: int
    """Maximum number of calls, refused ones included, in any window of ten seconds."""
    concurrent_max: int
    refused: int
    """Number of calls that a limit refused."""


class Meter:
    """Count the calls of one operation and refuse those beyond its limit.

    Runpod does not publish whether its window slides or is fixed. A sliding one is the exact reading of "per 10
    seconds". Refused calls do not count towards the limit, which is the most lenient variant.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._allowed: deque[float] = deque()
        self._seen: deque[float] = deque()
        self._concurrent = 0
        self._seen_max = 0
        self._concurrent_max = 0
        self._refused = 0

    def enter(self, now_s: float, *, extra_per_10s: int = 0, enforced: bool = True) -> bool:
        """Count a call and return True if it may proceed; the caller then has to call `leave`.

        Args:
            now_s: Seconds of a monotonic clock.
            extra_per_10s: Runpod's dynamic limit, running workers times requests per worker: the larger limit applies.
            enforced: False counts the call and allows it.
        """
        self._seen.append(now_s)
        _forget(self._seen, now_s)
        self._seen_max = max(self._seen_max, len(self._seen))
        if enforced and not self._fits(now_s, extra_per_10s):
            self._refused += 1
            return False
        if enforced:
            self._allowed.append(now_s)
        self._concurrent += 1
        self._concurrent_max = max(self._concurrent_max, self._concurrent)
        return True

    def leave(self) -> None:
        """Record the end of an allowed call."""
        self._concurrent -= 1

    def report(self) -> LimitReport:
        """Return the counts so far."""
        return LimitReport(calls_10s_max=self._seen_max, concurrent_max=self._concurrent_max, refused=self._refused)

    def _fits(self, now_s: float, extra_per_10s: int) -> bool:
        _forget(self._allowed, now_s)
        per_10s, concurrent = self.limit.per_10s, self.limit.concurrent
        if per_10s is not None and len(self._allowed) >= max(per_10s, extra_per_10s):
            return False
        return concurrent is None or self._concurrent < concurrent


def _forget(times: deque[float], now_s: float) -> None:
    """Drop the calls that have left the window: a call stays in it for less than ten seconds."""
    oldest_s = now_s - WINDOW_S
    while times[0] <= oldest_s if times else False:
        times.popleft()
