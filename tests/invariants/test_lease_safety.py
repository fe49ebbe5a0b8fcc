"""No seat is used twice, whatever happens to replicas, to what they say to each other, and to where they meet."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.fairshare.lease import HOLD_S, SETTLE_S
from tests.effort import tries
from tests.models.lease_world import TTL_S, Rules, UnsafeError, Way, World

NAMES = ("a", "b", "c")
SEATS = 8
STEPS = 60
SETTINGS = settings(
    max_examples=tries(120),
    stateful_step_count=STEPS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SEARCH = settings(SETTINGS, max_examples=400, phases=[Phase.generate])
"""For what has to be found: the smallest example of it is not needed."""

NAME = st.sampled_from(NAMES)
COUNT = st.integers(1, SEATS)
DELAY_S = st.sampled_from([0.0, 0.01, 0.1, 0.4, 1.5])
DELAY_OR_LOST = st.one_of(DELAY_S, DELAY_S, DELAY_S, st.none())
WAY = st.builds(
    Way, there_s=DELAY_OR_LOST, back_s=DELAY_OR_LOST, again_s=st.sampled_from([None, None, None, None, 0.2, 3.0])
)
PAUSE_S = st.sampled_from([0.01, 0.1, 0.25, 0.25, 0.25, 0.5, 2.0, 3.0, 12.0, HOLD_S + 1])


class Interleavings(RuleBasedStateMachine):
    """Strict replicas, which send nothing without a store."""

    world_rules = Rules(seats=SEATS)
    returns = False
    """Whether a replica that was silent for so long that it was forgotten comes back, and not as a new process."""
    used_most = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.world_rules)
        for name in NAMES:
            self.world.start(name)
        self.reach_everybody()
        self.world.pass_time(SETTLE_S)

    def reach_everybody(self) -> None:
        for name in sorted(self.world.replicas):
            self._beat(name, 0, Way())
        self.world.pass_time(0)

    def _beat(self, name: str, target: int, way: Way) -> None:
        contact = self.world.replicas[name].contact
        if not self.returns and self.world_rules.hold_s <= contact.silence_s(self.world.now_s) < float("inf"):
            self.world.start(name)
        self.world.heartbeat(name, target, way)

    @rule(name=NAME, aim=st.integers(0, SEATS), way=WAY, after_s=PAUSE_S)
    def beats(self, name: str, aim: int, way: Way, after_s: float) -> None:
        if name in self.world.replicas:
            self._beat(name, aim, way)
        self.world.pass_time(min(after_s, 0.5))

    @rule(first=NAME, aim=st.integers(0, SEATS))
    def everybody_beats(self, first: str, aim: int) -> None:
        for name in sorted(self.world.replicas):
            self._beat(name, aim if name == first else SEATS - aim, Way())
            self.world.pass_time(0.1)

    @rule(name=NAME, count=COUNT, stream_s=st.sampled_from([0.5, 5.0, 12.0, 60.0]))
    def dispatches(self, name: str, count: int, stream_s: float) -> None:
        if name in self.world.replicas:
            self.world.dispatch(name, count, stream_s)

    @rule(name=NAME, count=COUNT)
    def finishes(self, name: str, count: int) -> None:
        if name in self.world.replicas:
            self.world.finish(name, count)

    @rule(seconds=PAUSE_S)
    def waits(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(name=NAME)
    def crashes(self, name: str) -> None:
        self.world.kill(name)

    @rule(name=NAME)
    def restarts(self, name: str) -> None:
        self.world.start(name)

    @rule(name=NAME)
    def is_cut_off_or_back(self, name: str) -> None:
        if name in self.world.replicas:
            self.world.replicas[name].is_cut_off ^= True

    @rule(name=NAME)
    def says_goodbye(self, name: str) -> None:
        if name in self.world.replicas:
            self.world.leave(name, 0.0)
            self.world.pass_time(0)

    @precondition(lambda self: not self.world.orphans_s and not self.world.is_anybody_cut_off)
    @rule()
    def store_forgets(self) -> None:
        """Jobs of processes that are gone are forgotten with it: nobody is left who could tell."""
        self.world.wipe()
        self.reach_everybody()

    @invariant()
    def nothing_is_used_twice(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        for name in NAMES:
            if name not in self.world.replicas:
                self.world.start(name)
        self.world.come_to_rest()
        type(self).used_most = max(self.used_most, self.world.used_most)


class Returns(Interleavings):
    """Also replicas that come back after they were forgotten."""

    returns = True


class TooShort(Interleavings):
    """Seats are given away before the last stream that may use them has ended."""

    world_rules = replace(Interleavings.world_rules, hold_s=6.0, stream_s_max=12.0)


@pytest.mark.parametrize("machine", [Interleavings, Returns])
def test_no_seat_is_used_twice_and_none_is_lost(machine: type[Interleavings]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)
    assert machine.used_most == SEATS


def test_a_hold_shorter_than_a_lease_and_the_longest_stream_is_caught() -> None:
    assert TooShort.world_rules.hold_s < TTL_S + TooShort.world_rules.stream_s_max
    with pytest.raises(UnsafeError):
        run_state_machine_as_test(TooShort, settings=SEARCH)
