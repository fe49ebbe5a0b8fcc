"""Divide the time of an endpoint's workers among the attempts that run on them. Pure; times are integer nanoseconds.

A worker serves many attempts at once, so their execution times add up to a multiple of its own time. Here n attempts on
w workers get min(w, n) / n of each moment, the rest of w is idle, and what is not divisible is carried to the next
moment: shares, idle time and carry always sum to the integral of w, exactly.

When an attempt began is often known only later: a poll that is held returns with the first output or at the end. So
the clock is advanced only to the earliest time at which an attempt whose start is unknown may have begun, and later
events wait; nothing that was given is taken back.
"""

import heapq
import itertools
from enum import Enum, auto

import msgspec

_NONE = -1
"""No workers, and that is sure."""


class _Kind(Enum):
    START = auto()
    END = auto()
    WORKERS = auto()
    OTHERS = auto()


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
        """How many attempts of this replica run on workers, as far as time is divided."""
        return self._running

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
        self._push(max(at_ns, self._done_ns), _Kind.WORKERS, _NONE if is_sure and not count else count)

    def set_others(self, count: int, at_ns: int) -> None:
        """Note how many attempts of other replicas run."""
        self._push(max(at_ns, self._done_ns), _Kind.OTHERS, count)

    def advance(self, now_ns: int, *, waited_until_ns: int | None = None) -> list[tuple[int, int]]:
        """Divide the time until now, or the earliest unknown start; return the attempts settled, with their ns.

        Attempts of which nothing is known are taken to have waited until `waited_until_ns`, so that none of the others
        waits longer for them.
        """
        until_ns = self._known_until_ns(now_ns)
        if waited_until_ns is not None and until_ns < waited_until_ns:
            for each in self._unknown:
                self.queued(each, waited_until_ns)
            until_ns = self._known_until_ns(now_ns)
        while self._events and self._events[0][0] <= until_ns:
            at_ns, _, kind, value = heapq.heappop(self._events)
            self._divide(at_ns)
            self._apply(kind, value)
        self._divide(until_ns)
        settled, self._settled = self._settled, []
        return settled

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
        busy = min(workers, in_use)
        self.workers_ns += passed_ns * workers
        self.idle_ns += passed_ns * (workers - busy)
        if in_use:
            each_ns, self._carry = divmod(passed_ns * busy + self._carry, in_use)
            self._per_attempt += each_ns
            self.others_ns += each_ns * self._others

    def _apply(self, kind: _Kind, value: int) -> None:
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
            case _Kind.WORKERS:
                self._workers, self._workers_min = max(0, value), 0 if value == _NONE else 1
            case _Kind.OTHERS:
                self._others = value
        if not self._running + self._others:
            self.idle_ns += self._carry
            self._carry = 0
