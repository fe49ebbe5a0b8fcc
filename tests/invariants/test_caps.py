"""Runpod's limits: no window holds more calls than it may, whatever 429s and operators change meanwhile."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run

from gateway.domain import Tenant
from gateway.fairshare.adaptive_limit import CALM_S, PART_MIN, PAUSE_S_MAX, STEP_S, AdaptiveLimit
from gateway.fairshare.overflow import QueueLimits
from gateway.fairshare.pacer import Pacer
from tests.invariants.profile import steady
from tests.invariants.stage import Stage

WINDOW_S = 10.0
GAPS_S = [0.0, 0.001, 0.04, 0.3, 1.0, 5.0, 10.05, 30.0]


class PacerMachine(RuleBasedStateMachine):
    """Calls are made as soon as they may be, or later; the limit moves below the published one and back."""

    @initialize(per_10s=st.integers(1, 60))
    def open(self, per_10s: int) -> None:
        self.per_10s = per_10s
        self.pacer = Pacer(per_10s)
        self.calls_max = float(per_10s)
        self.now_s = 0.0
        self.sent: list[float] = []

    @rule(count=st.integers(1, 40))
    def call_as_soon_as_allowed(self, count: int) -> None:
        for _ in range(count):
            self.now_s = max(self.now_s, self.pacer.ready_at_s(self.now_s))
            self.call_if_allowed()

    @rule(gap_s=st.sampled_from(GAPS_S), count=st.integers(1, 20))
    def call_if_allowed_after(self, gap_s: float, count: int) -> None:
        self.now_s += gap_s
        for _ in range(count):
            self.call_if_allowed()

    def call_if_allowed(self) -> None:
        if self.pacer.ready_at_s(self.now_s) <= self.now_s:
            self.pacer.take(self.now_s)
            self.sent.append(self.now_s)
            # After a limit fell the calls before it may fill the window: then there is none until it has passed.
            assert self.recent() <= max(1, int(self.calls_max)), "caps: the window is over the limit of now"

    @rule(part=st.floats(PART_MIN, 1.0))
    def change_limit(self, part: float) -> None:
        self.calls_max = self.per_10s * part
        self.pacer.limit(self.calls_max)

    def recent(self) -> int:
        return sum(at_s > self.now_s - WINDOW_S for at_s in self.sent)

    @invariant()
    def the_pacer_is_ready_in_the_end(self) -> None:
        if hasattr(self, "pacer"):
            assert self.pacer.used(self.now_s) >= 0
            longest_s = 10.1 / min(1.0, PART_MIN * self.per_10s)
            assert self.pacer.ready_at_s(self.now_s) - self.now_s <= 2 * longest_s, "caps: the pacer never opens again"


class ThrottleMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.adaptive_limit = AdaptiveLimit()
        self.now_s = 0.0
        self.fell_at_s: list[float] = []
        self.refused_at_s = float("-inf")

    def parts(self) -> tuple[float, float]:
        return self.adaptive_limit.rate, self.adaptive_limit.concurrency

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.0, 5.0, 10.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(seats_used=st.floats(0, 1), retry_after_s=st.none() | st.floats(0, 1000), count=st.integers(1, 40))
    def refuse(self, seats_used: float, retry_after_s: float | None, count: int) -> None:
        for _ in range(count):
            before = self.parts()
            self.adaptive_limit.refused(seats_used=seats_used, retry_after_s=retry_after_s, now_s=self.now_s)
            self.refused_at_s = self.now_s
            if self.parts() < before:
                self.fell_at_s.append(self.now_s)
            assert max(self.parts()) <= max(before), "throttle: a 429 raised a part"

    @rule(count=st.integers(1, 30))
    def refuse_once_a_second(self, count: int) -> None:
        for _ in range(count):
            self.now_s += STEP_S
            self.refuse(0.0, None, 1)

    @rule(seats_used=st.floats(0, 1), calls_used=st.floats(0, 1), count=st.integers(1, 40))
    def accept(self, seats_used: float, calls_used: float, count: int) -> None:
        for _ in range(count):
            before = self.parts()
            rose = self.adaptive_limit.accepted(seats_used=seats_used, calls_used=calls_used, now_s=self.now_s)
            assert rose == (self.parts() != before), "throttle: it says what it did"
            assert not rose or self.now_s - self.refused_at_s >= CALM_S, "throttle: it rose soon after a 429"

    @invariant()
    def the_parts_stay_within_their_bounds(self) -> None:
        if not hasattr(self, "throttle"):
            return
        assert all(PART_MIN <= part <= 1.0 for part in self.parts()), "throttle: a part is out of bounds"
        assert pytest.approx(0.05) == PART_MIN
        assert self.adaptive_limit.paused_until_s <= self.now_s + PAUSE_S_MAX, "throttle: the pause has no bound"
        falls = zip(self.fell_at_s, self.fell_at_s[1:], strict=False)
        assert all(later - earlier >= STEP_S for earlier, later in falls), "throttle: it fell twice in a second"


def test_no_window_holds_more_calls_than_its_limit_while_the_limit_moves() -> None:
    run(PacerMachine, settings=steady(120, 30))


def test_the_throttle_stays_within_its_bounds_and_falls_once_a_second() -> None:
    run(ThrottleMachine, settings=steady(100, 40))


@given(st.integers(1, 30), st.integers(1, 6), st.lists(st.sampled_from([0.0, 0.02, 0.06, 0.2, 1.0]), max_size=25))
@steady(60)
@example(per_10s=1, seats=2, lags=[0.2, 0.0])
def test_calls_that_are_sent_late_by_a_busy_loop_keep_every_window(per_10s: int, seats: int, lags: list[float]) -> None:
    """Real sends count here, not grants: the timer grants, and then the loop is busy before the owner learns of it."""
    with Stage(seats, per_10s=per_10s) as stage:
        for _ in range(len(lags) + 2 + per_10s):
            stage.submit(Tenant(name="a")).ends.set()
        for lag_s in lags:
            stage.settle()
            timer = stage.gate._timer._handle
            stage.clock.now_s = max(stage.clock.now_s, timer.when() if timer else 0.0)
            stage.tick()
            stage.lag(lag_s)
            stage.tick()
        stage.drain()
        stage.check_nothing_is_left()


def test_the_line_keeps_its_bytes_when_small_tickets_give_way_to_large_ones() -> None:
    with Stage(1, limits=QueueLimits(bytes_max=100)) as stage:
        stage.submit(Tenant(name="holder"))
        for _ in range(10):
            stage.submit(Tenant(name="fat"), size=10)
        stage.settle()
        for name in ("b", "c", "d"):
            stage.submit(Tenant(name=name), size=90)
        stage.settle()
        assert stage.gate.occupancy.waiting_bytes <= 100, "caps: the bytes in line are bounded"
