"""Divide the time of an endpoint's workers among the attempts that run on them. Pure; times are integer nanoseconds.

A worker serves many attempts at once, so their execution times add up to a multiple of its own time. Here n attempts on
w workers get min(w, n) / n of each moment, the rest of w is idle, and what is not divisible is carried to the next
moment: shares, idle time and carry always sum to the integral of w, exactly.

When an attempt began is often known only later: a poll that is held returns with the first output or at the end. So
the clock is advanced only to the earliest time at which an attempt whose start is unknown may have begun, and later
events wait; nothing that was given is taken back.

How many workers run is known only where it was read. Beyond the last reading, time is divided only while each attempt
may have a worker of its own; where there are more attempts than workers, it waits for the next reading. Workers that
this one shows beside those of the one before did not come at that moment. They are taken to have been there, as many as
attempts have use for, since the start of an attempt that came in between, or since the middle between the two
readings, whichever is earlier. So the bound of the error is the time between two readings, or half of it, for each
worker that came; workers that went are counted until the reading without them.
"""

import heapq
import itertools
from collections import deque
from enum import Enum, auto

import msgspec

_NONE = -1
"""No workers, and that is sure."""


class _Kind(Enum):
    START = auto()
    END = auto()
    OTHERS = auto()


class _Reading(msgspec.Struct, frozen=True):
    """How many workers were read to run."""

    at_ns: int
    asked_at_ns: int
    """The same, unless time was divided beyond that."""
    count: int
    """_NONE where that is sure to be none."""


class _Attempt(msgspec.Struct, eq=False):
    """An attempt on the clock."""

    not_before_ns: int
    """While its start is unknown, the earliest time of it; then the start."""
    is_known: bool = False
    ended_at_ns: int | None = None
    is_dropped: bool = False
    began_at: int | None = None
    """The share per attempt, `_per_attempt`, when its start was reached."""


class GpuClock:
    """The clock of one endpoint. Attempts are named by integers."""

    def __init__(self, now_ns: int) -> None:
        self.idle_ns = 0
        """Worker time that no attempt used."""
        self.workers_ns = 0
        """All worker time."""
        self.others_ns = 0
        """What attempts of other replicas had of it."""
        self._done_ns = now_ns
        """Until when time is divided."""
        self._workers = 0
        self._workers_min = 1
        """How many an attempt that runs is believed to have, whatever was read."""
        self._read_at_ns = now_ns
        """When the workers were read that are counted now."""
        self._readings: deque[_Reading] = deque()
        """Those to which time is not divided yet."""
        self._rise_ns: int | None = None
        """Since when workers are there that only the next reading shows; None if no attempt tells that."""
        self._running_now = 0
        self._running = 0
        self._others = 0
        self._per_attempt = 0
        """What one attempt would have had that ran since the beginning."""
        self._carry = 0
        self._attempts: dict[int, _Attempt] = {}
        self._unknown: set[int] = set()
        self._settled: list[tuple[int, int]] = []
        self._events: list[tuple[int, int, _Kind, int]] = []
        self._numbers = itertools.count()

    @property
    def carry_ns(self) -> int:
        """Time that was not divisible yet; less than one nanosecond for each attempt."""
        return self._carry

    @property
    def running(self) -> int:
        """How many attempts of this replica run on workers, as far as is known; time may not be divided until now."""
        return self._running_now

    def open(self, attempt: int, at_ns: int) -> None:
        """Add an attempt that may begin from now on."""
        self._attempts[attempt] = _Attempt(max(at_ns, self._done_ns))
        self._unknown.add(attempt)

    def queued(self, attempt: int, at_ns: int) -> None:
        """Note that an attempt had not begun at this time."""
        found = self._attempts.get(attempt)
        if found is not None and not found.is_known:
            found.not_before_ns = max(found.not_before_ns, at_ns)

    def start(self, attempt: int, at_ns: int | None = None) -> None:
        """Note when an attempt began; None for the earliest time at which it may have."""
        found = self._attempts.get(attempt)
        if found is None or found.is_known:
            return
        found.not_before_ns = max(found.not_before_ns, at_ns or 0)
        found.is_known = True
        self._running_now += 1
        self._unknown.discard(attempt)
        self._push(found.not_before_ns, _Kind.START, attempt)

    def ran_until_ns(self, attempt: int, run_ns: int) -> int | None:
        """Return when an attempt ended that ran for so long; None if its start is unknown."""
        found = self._attempts.get(attempt)
        return found.not_before_ns + run_ns if found is not None and found.is_known else None

    def end(self, attempt: int, at_ns: int) -> None:
        """Note when an attempt ended. One whose start is unknown did not begin."""
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
        """Forget an attempt that nobody is charged for here: it is not settled, and what it was given is idle.

        It ran until `at_ns`, or never where that is None: then only what is divided already was given to it.
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
        """Note how many workers run. If that is sure, none means that the attempts under way have none either."""
        last_ns = self._readings[-1].at_ns if self._readings else self._done_ns
        self._readings.append(_Reading(max(at_ns, last_ns), at_ns, _NONE if is_sure and not count else count))

    def set_others(self, count: int, at_ns: int) -> None:
        """Note how many attempts of other replicas run."""
        self._push(max(at_ns, self._done_ns), _Kind.OTHERS, count)

    def advance(self, now_ns: int, *, waited_until_ns: int | None = None) -> list[tuple[int, int]]:
        """Divide the time until now, or the earliest unknown start; return the attempts settled, with their ns.

        Attempts of which nothing is known are taken to have waited until `waited_until_ns`, so that none of the others
        waits longer for them; and so long the workers are as many as were read last.
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
        """Return until when time can be divided in one piece; None if that is no further than it is."""
        if not self._readings and self._is_in_doubt:
            until_ns = min(until_ns, self._done_ns if waited_until_ns is None else waited_until_ns)
        due_ns = [reading.at_ns for reading in itertools.islice(self._readings, 1)]
        due_ns += [each[0] for each in self._events[:1]]
        if due_ns and min(due_ns) <= self._done_ns:
            # No time passes before it.
            return self._done_ns
        if self._done_ns >= until_ns:
            return None
        rise_ns = self._next_rise_ns()
        return min([until_ns, *due_ns, *([] if rise_ns is None or rise_ns <= self._done_ns else [rise_ns])])

    @property
    def _is_in_doubt(self) -> bool:
        """Whether there may be more workers than were read."""
        return self._workers_min > 0 and self._running + self._others > max(self._workers, self._workers_min)

    def _next_rise_ns(self) -> int | None:
        """Return since when the workers are there that the next reading shows; None where it shows no more of them."""
        if not self._readings or self._readings[0].count <= self._workers or not self._workers_min:
            return None
        middle_ns = (self._read_at_ns + self._readings[0].at_ns) // 2
        return middle_ns if self._rise_ns is None else min(self._rise_ns, middle_ns)

    def _known_until_ns(self, now_ns: int) -> int:
        return min([now_ns, *(self._attempts[each].not_before_ns for each in self._unknown)])

    def share_ns(self, attempt: int, now_ns: int) -> int:
        """Estimate what an attempt that is not settled has had until now, or until its end."""
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
        # An attempt that runs has a worker, whatever a single reading said: it may be older than its start.
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
