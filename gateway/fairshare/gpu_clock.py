"""Divide the time of an endpoint's workers among the attempts that run on them. Pure; times are integer nanoseconds.

A worker serves many attempts at once, so their execution times add up to a multiple of its own time. Here n attempts on
w workers get min(w, n) / n of each moment, the rest of w is idle, and the remainder of the integer division is carried
to the next moment: shares, idle time and carry always sum to the integral of w, exactly.

The start of an attempt is often known only later: a long poll returns with the first output or at the end. So the clock
advances only to the earliest time at which an attempt with an unknown start may have begun, and later events wait; time
that was given is never taken back.

The number of workers is known only at readings. Beyond the last reading, time is divided only while each attempt may
have a worker of its own; with more attempts than workers, the clock waits for the next reading. Workers that this
reading shows in addition to the previous one did not start at that moment. They are assumed to have run, as many as the
attempts can use, since the start of an attempt between the two readings, or since the middle between the readings,
whichever is earlier. So the error is at most the time between two readings, or half of it, for each added worker;
workers that stopped are counted until the reading without them.
"""

import heapq
import itertools
from collections import deque
from enum import Enum, auto

import msgspec

_NONE = -1
"""Count of a reading that is certain to show no workers."""


class _Kind(Enum):
    START = auto()
    END = auto()
    OTHERS = auto()


class _Reading(msgspec.Struct, frozen=True):
    """Represent a reading of the number of running workers."""

    at_ns: int
    asked_at_ns: int
    """Time of the reading; differs from `at_ns` only if time was already divided beyond it."""
    count: int
    """Number of workers; _NONE if there are certainly none."""


class _Attempt(msgspec.Struct, eq=False):
    """Represent an attempt on the clock."""

    not_before_ns: int
    """Earliest possible start while the start is unknown; then the start."""
    is_known: bool = False
    ended_at_ns: int | None = None
    is_dropped: bool = False
    began_at: int | None = None
    """Value of `_per_attempt` when the start was reached."""


class GpuClock:
    """Divide the worker time of one endpoint. Attempts are identified by integers."""

    def __init__(self, now_ns: int) -> None:
        self.idle_ns = 0
        """Worker time that no attempt used."""
        self.workers_ns = 0
        """Total worker time."""
        self.others_ns = 0
        """Worker time used by attempts of other replicas."""
        self._done_ns = now_ns
        """Time up to which worker time is divided."""
        self._workers = 0
        self._workers_min = 1
        """Minimum number of workers assumed while attempts run, whatever the reading."""
        self._read_at_ns = now_ns
        """Time of the reading that is in effect."""
        self._readings: deque[_Reading] = deque()
        """Readings after `_done_ns`, which are not in effect yet."""
        self._rise_ns: int | None = None
        """Time since which the added workers of the next reading are assumed; None if no attempt indicates one."""
        self._running_now = 0
        self._running = 0
        self._others = 0
        self._per_attempt = 0
        """Share of a hypothetical attempt that ran since the clock was created."""
        self._carry = 0
        self._attempts: dict[int, _Attempt] = {}
        self._unknown: set[int] = set()
        self._settled: list[tuple[int, int]] = []
        self._events: list[tuple[int, int, _Kind, int]] = []
        self._numbers = itertools.count()

    @property
    def carry_ns(self) -> int:
        """Return the time not divided yet because of rounding; less than one nanosecond per attempt."""
        return self._carry

    @property
    def running(self) -> int:
        """Return the number of attempts of this replica known to run on workers.

        It is up to date even if time is not divided up to now.
        """
        return self._running_now

    def open(self, attempt: int, at_ns: int) -> None:
        """Add an attempt that may begin from `at_ns` on."""
        self._attempts[attempt] = _Attempt(max(at_ns, self._done_ns))
        self._unknown.add(attempt)

    def queued(self, attempt: int, at_ns: int) -> None:
        """Record that an attempt was still queued at `at_ns`."""
        found = self._attempts.get(attempt)
        if found is not None and not found.is_known:
            found.not_before_ns = max(found.not_before_ns, at_ns)

    def start(self, attempt: int, at_ns: int | None = None) -> None:
        """Record when an attempt began; None for the earliest possible time."""
        found = self._attempts.get(attempt)
        if found is None or found.is_known:
            return
        found.not_before_ns = max(found.not_before_ns, at_ns or 0)
        found.is_known = True
        self._running_now += 1
        self._unknown.discard(attempt)
        self._push(found.not_before_ns, _Kind.START, attempt)

    def ran_until_ns(self, attempt: int, run_ns: int) -> int | None:
        """Return the end of an attempt that ran for `run_ns`; None if its start is unknown."""
        found = self._attempts.get(attempt)
        return found.not_before_ns + run_ns if found is not None and found.is_known else None

    def end(self, attempt: int, at_ns: int) -> None:
        """Record when an attempt ended. If its start is unknown, it did not begin."""
        found = self._attempts.get(attempt)
        if found is None or found.ended_at_ns is not None:
            return
        if not found.is_known:
            del self._attempts[attempt]
            self._unknown.discard(attempt)
            self._settled.append((attempt, 0))
            return
        self._running_now -= 1
        found.ended_at_ns = max(at_ns, found.not_before_ns, self._done_ns)
        self._push(found.ended_at_ns, _Kind.END, attempt)

    def drop(self, attempt: int, at_ns: int | None = None) -> None:
        """Remove an attempt that is not charged to a tenant here: it is not settled, and its share counts as idle.

        It ran until `at_ns`, or, if that is None, keeps only the time that is already divided.
        """
        found = self._attempts.get(attempt)
        if found is None:
            return
        if not found.is_known:
            del self._attempts[attempt]
            self._unknown.discard(attempt)
            return
        found.is_dropped = True
        self.end(attempt, found.not_before_ns if at_ns is None else at_ns)

    def set_workers(self, count: int, at_ns: int, *, is_sure: bool = False) -> None:
        """Record a reading of the number of running workers.

        If `is_sure`, a count of zero means that running attempts have no worker either.
        """
        last_ns = self._readings[-1].at_ns if self._readings else self._done_ns
        self._readings.append(_Reading(max(at_ns, last_ns), at_ns, _NONE if is_sure and not count else count))

    def set_others(self, count: int, at_ns: int) -> None:
        """Record the number of running attempts of other replicas."""
        self._push(max(at_ns, self._done_ns), _Kind.OTHERS, count)

    def advance(self, now_ns: int, *, waited_until_ns: int | None = None) -> list[tuple[int, int]]:
        """Divide time until now, or the earliest unknown start; return the settled attempts with their shares in ns.

        Attempts with an unknown start are assumed to have been queued until `waited_until_ns`, so that other attempts
        wait no longer for them; until then, the number of workers is assumed to be that of the last reading.
        """
        until_ns = self._known_until_ns(now_ns)
        if waited_until_ns is not None and until_ns < waited_until_ns:
            for each in self._unknown:
                self.queued(each, waited_until_ns)
            until_ns = self._known_until_ns(now_ns)
        while (step_ns := self._step_ns(until_ns, waited_until_ns)) is not None:
            self._divide(step_ns)
            if self._readings and self._readings[0].at_ns <= step_ns:
                self._read(self._readings.popleft())
            elif self._events and self._events[0][0] <= step_ns:
                _, _, kind, value = heapq.heappop(self._events)
                self._apply(kind, value)
        settled, self._settled = self._settled, []
        return settled

    def _step_ns(self, until_ns: int, waited_until_ns: int | None) -> int | None:
        """Return the time up to which the next step divides; None if no step is possible."""
        if not self._readings and self._is_in_doubt:
            until_ns = min(until_ns, self._done_ns if waited_until_ns is None else waited_until_ns)
        due_ns = self._next_due_ns()
        if due_ns is not None and due_ns <= self._done_ns:
            # The reading or event is due: apply it without dividing time.
            return self._done_ns
        if self._done_ns >= until_ns:
            return None
        step_ns = until_ns if due_ns is None else min(until_ns, due_ns)
        rise_ns = self._next_rise_ns()
        if rise_ns is not None and rise_ns > self._done_ns:
            # The number of workers changes there.
            step_ns = min(step_ns, rise_ns)
        return step_ns

    def _next_due_ns(self) -> int | None:
        """Return the time of the next reading or event, whichever is earlier; None without any."""
        if not self._readings:
            return self._events[0][0] if self._events else None
        read_ns = self._readings[0].at_ns
        return min(read_ns, self._events[0][0]) if self._events else read_ns

    @property
    def _is_in_doubt(self) -> bool:
        """Return True if more workers may run than the last reading shows."""
        return self._workers_min > 0 and self._running + self._others > max(self._workers, self._workers_min)

    def _next_rise_ns(self) -> int | None:
        """Return the time since which the added workers of the next reading are assumed; None without any."""
        if not self._readings or self._readings[0].count <= self._workers or not self._workers_min:
            return None
        middle_ns = (self._read_at_ns + self._readings[0].at_ns) // 2
        return middle_ns if self._rise_ns is None else min(self._rise_ns, middle_ns)

    def _known_until_ns(self, now_ns: int) -> int:
        return min([now_ns, *(self._attempts[each].not_before_ns for each in self._unknown)])

    def share_ns(self, attempt: int, now_ns: int) -> int:
        """Estimate the share of an attempt that is not settled, until now or its end, in ns."""
        found = self._attempts.get(attempt)
        if found is None or not found.is_known:
            return 0
        given = 0 if found.began_at is None else self._per_attempt - found.began_at
        until_ns = now_ns if found.ended_at_ns is None else found.ended_at_ns
        since_ns = max(self._done_ns, found.not_before_ns)
        in_use = max(1, self._running + self._others)
        return given + max(0, until_ns - since_ns) * min(max(self._workers_min, self._workers), in_use) // in_use

    def _push(self, at_ns: int, kind: _Kind, value: int) -> None:
        heapq.heappush(self._events, (at_ns, next(self._numbers), kind, value))

    def _divide(self, until_ns: int) -> None:
        passed_ns = until_ns - self._done_ns
        if passed_ns <= 0:
            return
        self._done_ns = until_ns
        in_use = self._running + self._others
        # A running attempt has a worker, whatever the reading says: the reading may be older than its start.
        workers = max(self._workers, self._workers_min if in_use else 0)
        rise_ns = self._next_rise_ns()
        if rise_ns is not None and rise_ns <= until_ns - passed_ns:
            workers = max(workers, min(self._readings[0].count, in_use))
        busy = min(workers, in_use)
        self.workers_ns += passed_ns * workers
        self.idle_ns += passed_ns * (workers - busy)
        if in_use:
            each_ns, self._carry = divmod(passed_ns * busy + self._carry, in_use)
            self._per_attempt += each_ns
            self.others_ns += each_ns * self._others

    def _read(self, reading: _Reading) -> None:
        self._workers, self._workers_min = max(0, reading.count), 0 if reading.count == _NONE else 1
        self._read_at_ns = reading.at_ns
        if self._rise_ns is not None and reading.asked_at_ns >= self._rise_ns:
            self._rise_ns = None

    def _apply(self, kind: _Kind, value: int) -> None:
        before = self._running + self._others
        match kind:
            case _Kind.START:
                self._attempts[value].began_at = self._per_attempt
                self._running += 1
                self._workers_min = 1
            case _Kind.END:
                ended = self._attempts.pop(value)
                self._running -= 1
                share_ns = self._per_attempt - (ended.began_at or 0)
                if ended.is_dropped:
                    self.idle_ns += share_ns
                else:
                    self._settled.append((value, share_ns))
            case _Kind.OTHERS:
                self._others = value
        if self._is_in_doubt and self._running + self._others > before:
            self._rise_ns = self._done_ns if self._rise_ns is None else min(self._rise_ns, self._done_ns)
        if not self._running + self._others:
            self.idle_ns += self._carry
            self._carry = 0
