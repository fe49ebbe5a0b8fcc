"""Calls of all replicas together keep the limit in every ten seconds, in the worst way in which they may be sent."""

from collections import deque
from random import Random

import pytest

from gateway.admission.lease_agent import HUNGRY_FOR_CALLS_S
from gateway.admission.lease_store import Ask, Beat
from gateway.admission.leased_capacity import LeasedCapacity
from gateway.domain import OutagePolicy
from gateway.fairshare.lease import BEAT_S, HOLD_S, JITTER_S, LIVE_S, SETTLE_S, Contact, token_rate
from tests.effort import tries
from tests.models.lease_table import LeaseTable

TICK_S = 0.005
SPAN_S = 45.0
WINDOW_S = 10.0
USE_MIN = 0.6
"""Of what is allowed, in spite of all the tokens that go to those who do not want them: or the test says little."""
OUTAGE_S = (20.0, 32.0)


class Caller:
    """A replica that always has calls to send, and sends them as `is_late` says: at once, or in the last moment."""

    def __init__(self, name: str, calls_per_10s: int, chance: Random) -> None:
        self.name = name
        self.contact = Contact()
        self.capacity = LeasedCapacity(
            "run", 400, calls_per_10s=calls_per_10s, policy=OutagePolicy.SHARE, contact=self.contact, on_demand=_ignore
        )
        self.next_beat_s = chance.uniform(0, BEAT_S)
        self.expires_s = 0.0
        self.is_late = False
        self.number = 0
        self._calls_per_10s = calls_per_10s
        self._chance = chance

    def beat(self, table: LeaseTable, now_s: float) -> None:
        """The answer comes at once, which leaves most time to use it."""
        self.number += 1
        rate, burst = token_rate(self._calls_per_10s)
        lease, want = self.capacity.lease, self._chance.choice([0, 3, 60, 10_000, 10_000, 10_000])
        ask = Ask("run", 400, rate, burst, lease.epoch, lease.limit, 0, 100, want)
        beat = Beat(
            replica=self.name,
            incarnation="",
            number=self.number,
            is_leaving=False,
            hold_s=HOLD_S,
            live_s=LIVE_S,
            settle_s=SETTLE_S,
            asks=[ask],
        )
        answer = table.beat(beat, b"", now_s)
        assert answer is not None
        (grant,) = answer.grants
        names = sorted([*answer.reports, self.name])
        self.contact.heard_at_s, self.contact.replicas = now_s, len(names)
        self.contact.rank = names.index(self.name)
        self.contact.is_refused = False
        lease.renew(epoch=grant.epoch, limit=grant.limit, tokens=grant.tokens, sent_at_s=now_s)
        self.expires_s = now_s + BEAT_S
        self.is_late = self._chance.random() < 0.7
        # A heartbeat makes void what was granted before it, so that whoever sends late beats late.
        self.next_beat_s = now_s + (BEAT_S if self.is_late else self._chance.choice([HUNGRY_FOR_CALLS_S, BEAT_S]))

    def send(self, now_s: float) -> int:
        """As many calls as it may, or none yet."""
        sent = 0
        if self.is_late and self.capacity.lease.has_token(now_s) and now_s + 1.5 * TICK_S < self.expires_s:
            return 0
        while self.capacity.ready_at_s(now_s) <= now_s:
            self.capacity.take(now_s)
            sent += 1
        return sent


def _ignore(_is_for_calls: object) -> None:
    pass


def arrivals(calls_per_10s: int, replicas: int, chance: Random, *, is_outage: bool) -> list[float]:
    """When calls reach Runpod; the network holds some of them up."""
    table, reached_s = LeaseTable(), []
    callers = [Caller(f"r{number}", calls_per_10s, chance) for number in range(replicas)]
    for tick in range(round(SPAN_S / TICK_S)):
        now_s = tick * TICK_S
        is_down = is_outage and OUTAGE_S[0] <= now_s < OUTAGE_S[1]
        if is_down:
            table.wipe()
        for each in callers:
            if now_s >= each.next_beat_s and not is_down:
                each.beat(table, now_s)
            each.contact.is_refused = is_down
            # It may well keep its calls up to the window's end, where it keeps them at all.
            jitter_s = chance.choice([0.0, JITTER_S, chance.uniform(0, JITTER_S)])
            reached_s += [now_s + jitter_s] * each.send(now_s)
    return sorted(reached_s)


def most_in_a_window(at_s: list[float]) -> int:
    window: deque[float] = deque()
    most = 0
    for each in at_s:
        window.append(each)
        while window[0] <= each - WINDOW_S:
            window.popleft()
        most = max(most, len(window))
    return most


@pytest.mark.parametrize(
    ("calls_per_10s", "is_outage"), [(2, False), (10, False), (100, False), (100, True), (2000, False), (2000, True)]
)
def test_no_ten_seconds_see_more_than_allowed(calls_per_10s: int, is_outage: bool) -> None:
    for replicas in (2, 4) if is_outage else (2, 4, 8):
        reached_s = arrivals(calls_per_10s, replicas, Random(calls_per_10s), is_outage=is_outage)
        assert most_in_a_window(reached_s) <= calls_per_10s, replicas
        if calls_per_10s >= 100:
            assert len(reached_s) >= USE_MIN * calls_per_10s * SPAN_S / WINDOW_S


@pytest.mark.parametrize("calls_per_10s", [2, 10])
def test_few_calls_among_many_replicas_without_a_store(calls_per_10s: int) -> None:
    for seed in range(tries(12)):
        reached_s = arrivals(calls_per_10s, 8, Random(f"{seed}{calls_per_10s}"), is_outage=True)
        assert most_in_a_window(reached_s) <= calls_per_10s


def test_a_rate_that_leaves_no_time_for_the_way_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        f"{__name__}.token_rate",
        lambda calls_per_10s: (calls_per_10s / WINDOW_S, max(1.0, 0.025 * calls_per_10s)),
    )
    reached_s = arrivals(2000, 4, Random(1), is_outage=False)
    assert most_in_a_window(reached_s) > 2000
