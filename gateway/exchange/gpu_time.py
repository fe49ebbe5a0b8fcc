"""Charge every attempt of a request with its part of the workers' time, on either route.

An attempt is opened when it is handed to Runpod, begins when a worker has it, and is settled once, when it is over and
the clock of its endpoint has passed its end. The pure rule is `fairshare.gpu_clock`.
"""

import itertools
from collections.abc import Callable

import msgspec

from gateway.clock import Clock
from gateway.domain import Attempt
from gateway.exchange.events import GpuTimeSettled, Observer
from gateway.fairshare.gpu_clock import GpuClock

DOUBT_S_MAX = 10.0
"""A worker that takes an attempt is learned of within this time, or the attempt is charged from then on: a job whose
cancel waits is polled by nobody, and while Runpod cannot be reached no poll comes back. The same holds for workers."""
QUICK_LOOK_S = 0.4
CLOSE_LOOK_S = 0.9
"""How old a reading of the workers may be: a little less than the half second, or the second, between two looks.

Readings come every half second at most: 20 in 10 s, of the 100 that `domain` allows; /health wakes no worker. When a
worker came is known to within the time between two readings. A burst of attempts that is over, and whose workers have
stopped, before it can be read may be charged for one worker alone."""
_NS = 1_000_000_000


class AttemptTime:
    """The time of one attempt. Its owner has to end it; times are monotonic seconds."""

    __slots__ = (
        "_number", "_on_settled", "_time", "attempt", "execution_s", "has_started", "is_seen_waiting", "settled_s",
    )  # fmt: skip

    def __init__(self, time: "GpuTime", number: int, attempt: Attempt, on_settled: Callable[[float], None]) -> None:
        self.attempt = attempt
        self.execution_s: float | None = None
        """How long it ran by Runpod's own account."""
        self.settled_s: float | None = None
        self.has_started = False
        """True once a worker is known to have had it."""
        self.is_seen_waiting = False
        """True where it was seen to wait for a worker, and nothing else was seen of it."""
        self._time = time
        self._number = number
        self._on_settled = on_settled

    @property
    def is_settled(self) -> bool:
        """Report whether its GPU seconds are final."""
        return self.settled_s is not None

    @property
    def gpu_s(self) -> float:
        """GPU seconds: what it was settled with, or an estimate until now."""
        if self.settled_s is None:
            self._time.advance()
        return self._time.estimate_s(self._number) if self.settled_s is None else self.settled_s

    def queued(self) -> None:
        """Note that it still waits for a worker."""
        self.is_seen_waiting = not self.has_started
        self._time.queued(self._number)

    def started(self, at_s: float | None = None) -> None:
        """Note that a worker has it: since `at_s`, or since the last time it was not known to wait."""
        self.has_started, self.is_seen_waiting = True, False
        self._time.started(self._number, at_s)

    def ended(self, *, after_s: float | None = None, at_s: float | None = None) -> None:
        """Note that it is over: after so long on a worker, or at a time, if that is known, else now.

        Only the first call counts.
        """
        self._time.ended(self._number, after_s, at_s)

    def dropped(self) -> None:
        """Note that Runpod never had it: nothing is charged and nothing told."""
        self._time.dropped(self._number)

    def settle(self, gpu_s: float) -> None:
        """Take its final figure; for the clock's owner."""
        self.settled_s = gpu_s
        self._on_settled(gpu_s)


class GpuTime:
    """The GPU clock of one Runpod endpoint, in the time of this process."""

    def __init__(self, clock: Clock, observe: Observer) -> None:
        self._clock = clock
        self._observe = observe
        self._gpu_clock = GpuClock(self._now_ns())
        self._numbers = itertools.count()
        self._attempts: dict[int, AttemptTime] = {}
        self._others = 0
        self._counts: tuple[int | None, int | None] = (None, None)
        """The last two numbers of workers that were read."""
        self._in_use_read = 0
        """How many attempts ran when the last one was asked for."""
        self._nones_read = 0
        """Readings of no worker in a row, since an attempt last began."""

    @property
    def running(self) -> int:
        """How many attempts of this process run on workers, as far as is known."""
        return self._gpu_clock.running

    @property
    def look_s(self) -> float | None:
        """Return how old the number of workers may be that was read last; None where nothing depends on it.

        More attempts than workers may have woken more of them, and a number that changes may go on to.
        """
        in_use, (last, before) = self.running + self._others, self._counts
        if in_use > max(1, last or 0):
            return QUICK_LOOK_S if in_use > self._in_use_read else CLOSE_LOOK_S
        return None if last == before or before is None else CLOSE_LOOK_S

    def open(self, attempt: Attempt, on_settled: Callable[[float], None]) -> AttemptTime:
        """Begin to follow an attempt; `on_settled` is told its GPU seconds once, when they are final."""
        number = next(self._numbers)
        self._gpu_clock.open(number, self._now_ns())
        opened = self._attempts[number] = AttemptTime(self, number, attempt, on_settled)
        return opened

    def queued(self, number: int) -> None:
        """Note that an attempt still waits."""
        self._gpu_clock.queued(number, self._now_ns())

    def started(self, number: int, at_s: float | None) -> None:
        """Note when an attempt began."""
        self._nones_read = 0
        self._gpu_clock.start(number, None if at_s is None else int(at_s * _NS))

    def ended(self, number: int, after_s: float | None, at_s: float | None = None) -> None:
        """Note that an attempt ended, now, at a time that is over, or after so long a run."""
        now_ns = self._now_ns() if at_s is None else min(self._now_ns(), int(at_s * _NS))
        ran_until_ns = None if after_s is None else self._gpu_clock.ran_until_ns(number, int(after_s * _NS))
        self._gpu_clock.end(number, now_ns if ran_until_ns is None else min(now_ns, ran_until_ns))
        self.advance()

    def dropped(self, number: int) -> None:
        """Forget an attempt that never ran."""
        self._gpu_clock.drop(number)
        self._attempts.pop(number, None)
        self.advance()

    def close(self, is_elsewhere: Callable[[Attempt], bool]) -> None:
        """End and settle what is open, as this process ends; but not what another one will end and charge."""
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
        """Note how many workers run, since they were asked for; None if that is not known any more.

        Read twice without a start in between, none is sure: attempts that still seem to run were lost with theirs.
        """
        self._nones_read = 0 if running is None or running else self._nones_read + 1
        at_ns = self._now_ns() if asked_at_s is None else int(asked_at_s * _NS)
        self._gpu_clock.set_workers(running or 0, at_ns, is_sure=self._nones_read > 1)
        self._counts, self._in_use_read = (running, self._counts[0]), self.running + self._others
        self.advance()

    def read_others(self, running: int) -> None:
        """Note how many attempts of other replicas run."""
        if running != self._others:
            self._others = running
            self._gpu_clock.set_others(running, self._now_ns())

    def advance(self) -> None:
        """Settle the attempts that are over. To be called now and then, as a settlement may have to wait."""
        self._settle(self._now_ns() - int(DOUBT_S_MAX * _NS))

    def _settle(self, waited_until_ns: int) -> None:
        for number, share_ns in self._gpu_clock.advance(self._now_ns(), waited_until_ns=waited_until_ns):
            settled = self._attempts.pop(number)
            gpu_s = share_ns / _NS
            settled.settle(gpu_s)
            told = GpuTimeSettled(attempt=settled.attempt, gpu_s=gpu_s, execution_s=settled.execution_s)
            self._observe(told)

    def lost(self, attempt: Attempt) -> None:
        """Note that an attempt may run, or have run, without anybody here knowing of it: it is told, and not charged.

        Its job has no id here, so that it can neither be asked about nor cancelled until its ttl ends it. Whatever was
        charged would be a guess between nothing and the longest execution; its worker's time is shared by others, or
        idle.
        """
        self._observe(GpuTimeSettled(attempt=attempt, gpu_s=None))

    @property
    def idle_s(self) -> float:
        """Worker seconds that no attempt used."""
        return self._gpu_clock.idle_ns / _NS

    def _now_ns(self) -> int:
        return int(self._clock.monotonic_s() * _NS)


class AttemptCost(msgspec.Struct, eq=False):
    """What one attempt of a request came to, as far as it is known; kept apart for each attempt."""

    attempt: Attempt
    on_settled: Callable[[float], None]
    """Told its GPU seconds once, when they are final."""
    on_complete: Callable[[float], None] = lambda _gpu_s: None
    """Told the same if the client got its answer from it, when both are known."""
    time: AttemptTime | None = None
    delay_s: float | None = None
    is_complete: bool = False
    """Whether the client got its answer from it."""

    def open(self, gpu: GpuTime, *, job_id: str | None = None) -> AttemptTime:
        """Note that it was handed to Runpod."""
        if job_id is not None:
            self.attempt = msgspec.structs.replace(self.attempt, job_id=job_id)
        self.time = gpu.open(self.attempt, self._settled)
        return self.time

    def close(self, *, was_sent: bool) -> None:
        """Note that it is over; `was_sent` is False if Runpod never had it after all."""
        if self.time is None:
            return
        if was_sent:
            self.time.ended()
        else:
            self.time.dropped()
            self.time = None

    def complete(self) -> None:
        """Note that the client got its answer from it. Its GPU seconds may be final by then."""
        self.is_complete = True
        if self.time is not None and self.time.settled_s is not None:
            self.on_complete(self.time.settled_s)

    def _settled(self, gpu_s: float) -> None:
        self.on_settled(gpu_s)
        if self.is_complete:
            self.on_complete(gpu_s)

    @property
    def is_estimate(self) -> bool:
        """Report whether its GPU seconds are not final yet."""
        return self.time is not None and not self.time.is_settled

    @property
    def gpu_s(self) -> float | None:
        """GPU seconds; None if it was not handed to Runpod."""
        return None if self.time is None else self.time.gpu_s

    @property
    def execution_s(self) -> float | None:
        """How long it ran by Runpod's own account; None if that is not known."""
        return None if self.time is None else self.time.execution_s
