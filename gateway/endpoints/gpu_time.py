"""Charge every attempt of a request for its part of the workers' time, on either route.

An attempt is opened when it is sent to Runpod, starts when a worker has it, and is settled once, when it has ended and
the clock of its endpoint has passed its end. The rule itself is implemented in `fairshare.gpu_clock`.
"""

import itertools
from collections.abc import Callable

import msgspec

from gateway.clock import Clock
from gateway.domain import Attempt
from gateway.events import GpuTimeSettled, Observer
from gateway.fairshare.gpu_clock import GpuClock

DOUBT_S_MAX = 10.0
"""Maximum seconds that the clock waits for an unknown start, or for the number of workers; an attempt whose start is
reported later is charged for at most these seconds before the report. The job of a waiting cancel is polled by no
client, and no poll succeeds while Runpod is unreachable."""
QUICK_LOOK_S = 0.4
CLOSE_LOOK_S = 0.9
"""Maximum age of a reading of the workers: a little less than the half second, or the second, between two readings.

Readings come at most every half second: 20 in 10 s, of the 100 that `domain` allows; /health wakes no worker. The time
at which a worker started is known to within the time between two readings. A burst of attempts that has ended, and
whose workers have stopped, before a reading may be charged for a single worker."""
_NS = 1_000_000_000


class AttemptTime:
    """Measure the time of one attempt. Its owner has to end it; times are monotonic seconds."""

    __slots__ = (
        "_number", "_on_settled", "_time", "attempt", "execution_s", "has_started", "is_seen_waiting", "settled_s",
    )  # fmt: skip

    def __init__(self, time: "GpuTime", number: int, attempt: Attempt, on_settled: Callable[[float], None]) -> None:
        self.attempt = attempt
        self.execution_s: float | None = None
        """Seconds for which it ran, as reported by Runpod."""
        self.settled_s: float | None = None
        self.has_started = False
        """True once a worker is known to have had it."""
        self.is_seen_waiting = False
        """True if it was seen to wait for a worker, and no later state was seen."""
        self._time = time
        self._number = number
        self._on_settled: Callable[[float], None] | None = on_settled

    @property
    def is_settled(self) -> bool:
        """Return True if its GPU seconds are final."""
        return self.settled_s is not None

    @property
    def gpu_s(self) -> float:
        """Return its GPU seconds: final, or an estimate until now."""
        if self.settled_s is None:
            self._time.advance()
        return self._time.estimate_s(self._number) if self.settled_s is None else self.settled_s

    def queued(self) -> None:
        """Record that it still waits for a worker."""
        self.is_seen_waiting = not self.has_started
        self._time.queued(self._number)

    def started(self, at_s: float | None = None) -> None:
        """Record that a worker has it: since `at_s`, or since the last time at which it was seen to wait."""
        self.has_started, self.is_seen_waiting = True, False
        self._time.started(self._number, at_s)

    def ended(self, *, after_s: float | None = None, at_s: float | None = None) -> None:
        """Record that it ended: after `after_s` seconds on a worker, or at `at_s`, or by default now.

        Only the first call has an effect.
        """
        self._time.ended(self._number, after_s, at_s)

    def dropped(self) -> None:
        """Record that Runpod never received it: nothing is charged, and nothing is reported."""
        self._time.dropped(self._number)

    def settle(self, gpu_s: float) -> None:
        """Set its final GPU seconds. Only the owner of the clock calls this, once."""
        # Cleared, because the callback's owner holds this: the cycle would keep both until a garbage collection.
        on_settled, self._on_settled = self._on_settled, None
        self.settled_s = gpu_s
        if on_settled is not None:
            on_settled(gpu_s)


class GpuTime:
    """Run the GPU clock of one Runpod endpoint, by the monotonic clock of this process."""

    def __init__(self, clock: Clock, observe: Observer) -> None:
        self._clock = clock
        self._observe = observe
        self._gpu_clock = GpuClock(self._now_ns())
        self._numbers = itertools.count()
        self._attempts: dict[int, AttemptTime] = {}
        self._others = 0
        self._counts: tuple[int | None, int | None] = (None, None)
        """The last two worker counts that were read."""
        self._in_use_read = 0
        """Number of attempts that ran at the last reading."""
        self._nones_read = 0
        """Number of consecutive readings without workers, since an attempt last started."""

    @property
    def running(self) -> int:
        """Return the number of attempts of this process that run on workers, as far as known."""
        return self._gpu_clock.running

    @property
    def look_s(self) -> float | None:
        """Return the maximum age of the last worker count, in seconds; None if nothing depends on it.

        More attempts than workers may have woken more workers, and a count that has changed may change further.
        """
        in_use, (last, before) = self.running + self._others, self._counts
        if in_use > max(1, last or 0):
            return QUICK_LOOK_S if in_use > self._in_use_read else CLOSE_LOOK_S
        return None if last == before or before is None else CLOSE_LOOK_S

    def open(self, attempt: Attempt, on_settled: Callable[[float], None]) -> AttemptTime:
        """Open an attempt; `on_settled` is called once with its GPU seconds, when they are final."""
        number = next(self._numbers)
        self._gpu_clock.open(number, self._now_ns())
        opened = self._attempts[number] = AttemptTime(self, number, attempt, on_settled)
        return opened

    def queued(self, number: int) -> None:
        """Record that an attempt still waits."""
        self._gpu_clock.queued(number, self._now_ns())

    def started(self, number: int, at_s: float | None) -> None:
        """Record the time at which an attempt started."""
        self._nones_read = 0
        self._gpu_clock.start(number, None if at_s is None else int(at_s * _NS))

    def ended(self, number: int, after_s: float | None, at_s: float | None = None) -> None:
        """Record that an attempt ended: now, at `at_s`, or after `after_s` seconds on a worker."""
        now_ns = self._now_ns() if at_s is None else min(self._now_ns(), int(at_s * _NS))
        ran_until_ns = None if after_s is None else self._gpu_clock.ran_until_ns(number, int(after_s * _NS))
        self._gpu_clock.end(number, now_ns if ran_until_ns is None else min(now_ns, ran_until_ns))
        self.advance()

    def dropped(self, number: int) -> None:
        """Remove an attempt that never ran."""
        self._gpu_clock.drop(number)
        self._attempts.pop(number, None)
        self.advance()

    def close(self, is_elsewhere: Callable[[Attempt], bool]) -> None:
        """End and settle the open attempts, as this process ends, except those that another process will charge."""
        now_ns = self._now_ns()
        for number, each in tuple(self._attempts.items()):
            if is_elsewhere(each.attempt):
                self._gpu_clock.drop(number, now_ns)
                del self._attempts[number]
            else:
                self._gpu_clock.end(number, now_ns)
        self._settle(now_ns)

    def estimate_s(self, number: int) -> float:
        """Estimate the GPU seconds of an attempt that is not settled."""
        return self._gpu_clock.share_ns(number, self._now_ns()) / _NS

    def read_workers(self, running: int | None, *, asked_at_s: float | None = None) -> None:
        """Record the number of running workers at the time of the request; None if it is not known any more.

        Two consecutive readings without workers and without a start between them are reliable: attempts that still seem
        to run were lost with their workers.
        """
        self._nones_read = 0 if running is None or running else self._nones_read + 1
        at_ns = self._now_ns() if asked_at_s is None else int(asked_at_s * _NS)
        self._gpu_clock.set_workers(running or 0, at_ns, is_sure=self._nones_read > 1)
        self._counts, self._in_use_read = (running, self._counts[0]), self.running + self._others
        self.advance()

    def read_others(self, running: int) -> None:
        """Record the number of running attempts of other replicas."""
        if running != self._others:
            self._others = running
            self._gpu_clock.set_others(running, self._now_ns())

    def advance(self) -> None:
        """Settle the attempts that have ended. Call it periodically, because a settlement may have to wait."""
        self._settle(self._now_ns() - int(DOUBT_S_MAX * _NS))

    def _settle(self, waited_until_ns: int) -> None:
        for number, share_ns in self._gpu_clock.advance(self._now_ns(), waited_until_ns=waited_until_ns):
            settled = self._attempts.pop(number)
            gpu_s = share_ns / _NS
            settled.settle(gpu_s)
            told = GpuTimeSettled(attempt=settled.attempt, gpu_s=gpu_s, execution_s=settled.execution_s)
            self._observe(told)

    def lost(self, attempt: Attempt) -> None:
        """Report an attempt that may run, or have run, unobserved: it is reported without GPU seconds, and not charged.

        Its job id is unknown, so it can neither be polled nor cancelled until its ttl ends it. Any charge would be a
        guess between zero and the longest execution; its worker's time is charged to other attempts, or idle.
        """
        self._observe(GpuTimeSettled(attempt=attempt, gpu_s=None))

    @property
    def idle_s(self) -> float:
        """Return the worker seconds that no attempt used."""
        return self._gpu_clock.idle_ns / _NS

    def _now_ns(self) -> int:
        return int(self._clock.monotonic_s() * _NS)


class AttemptCost(msgspec.Struct, eq=False):
    """Track the cost of one attempt of a request; each attempt has its own."""

    attempt: Attempt
    on_settled: Callable[[float], None]
    """Called once with its GPU seconds, when they are final."""
    on_complete: Callable[[float], None] = lambda _gpu_s: None
    """Called with the same, when they are final and the client has received its answer from it."""
    time: AttemptTime | None = None
    delay_s: float | None = None
    is_complete: bool = False
    """True if the client received its answer from it."""

    def open(self, gpu: GpuTime, *, job_id: str | None = None) -> AttemptTime:
        """Record that it was sent to Runpod, and return its meter."""
        if job_id is not None:
            self.attempt = msgspec.structs.replace(self.attempt, job_id=job_id)
        self.time = gpu.open(self.attempt, self._settled)
        return self.time

    def close(self, *, was_sent: bool) -> None:
        """Record that it ended; `was_sent` is False if Runpod never received it."""
        if self.time is None:
            return
        if was_sent:
            self.time.ended()
        else:
            self.time.dropped()
            self.time = None

    def complete(self) -> None:
        """Record that the client received its answer from it. Its GPU seconds may already be final."""
        self.is_complete = True
        if self.time is not None and self.time.settled_s is not None:
            self.on_complete(self.time.settled_s)

    def _settled(self, gpu_s: float) -> None:
        self.on_settled(gpu_s)
        if self.is_complete:
            self.on_complete(gpu_s)

    @property
    def is_estimate(self) -> bool:
        """Return True if its GPU seconds are not final yet."""
        return self.time is not None and not self.time.is_settled

    @property
    def gpu_s(self) -> float | None:
        """Return its GPU seconds; None if it was not sent to Runpod."""
        return None if self.time is None else self.time.gpu_s

    @property
    def execution_s(self) -> float | None:
        """Return the seconds for which it ran, as reported by Runpod; None if not known."""
        return None if self.time is None else self.time.execution_s
