from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.emulator.deadlines import NEVER_S, STALE_ENTRIES_SPARED, Deadlines


@dataclass(eq=False)
class Thing:
    name: str
    deadline_s: float = NEVER_S


def test_due_things_come_earliest_first_and_once():
    deadlines: Deadlines[Thing] = Deadlines()
    late, early, never = Thing("late"), Thing("early"), Thing("never")
    for thing, due_s in ((late, 20.0), (early, 10.0), (never, NEVER_S)):
        deadlines.set(thing, due_s, owners=3)
    assert deadlines.next_s() == 10.0
    assert deadlines.pop_due(9.9) is None
    assert deadlines.pop_due(30.0) is early
    assert deadlines.pop_due(30.0) is late
    assert deadlines.pop_due(1e18) is None
    assert deadlines.next_s() == NEVER_S


def test_a_moved_deadline_replaces_the_old_one():
    deadlines: Deadlines[Thing] = Deadlines()
    thing = Thing("moved")
    deadlines.set(thing, 10.0, owners=1)
    deadlines.set(thing, 50.0, owners=1)
    assert deadlines.pop_due(49.0) is None
    assert deadlines.pop_due(50.0) is thing


def test_stale_entries_are_swept_and_live_ones_kept():
    deadlines: Deadlines[Thing] = Deadlines()
    steady, restless = Thing("steady"), Thing("restless")
    deadlines.set(steady, 5.0, owners=2)
    for number in range(1000):
        deadlines.set(restless, 10.0 + number, owners=2)
        assert len(deadlines) <= 4 * 2 + STALE_ENTRIES_SPARED
    assert deadlines.pop_due(5.0) is steady
    assert deadlines.pop_due(1008.9) is None
    assert deadlines.pop_due(1009.0) is restless


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1000)), max_size=600))
def test_the_heap_stays_within_a_multiple_of_its_owners(moves):
    deadlines: Deadlines[Thing] = Deadlines()
    things = [Thing(str(number)) for number in range(5)]
    for number, due_s in moves:
        deadlines.set(things[number], due_s, owners=5)
        assert len(deadlines) <= 4 * 5 + STALE_ENTRIES_SPARED
    popped = []
    while (thing := deadlines.pop_due(1e9)) is not None:
        popped.append(thing)
        thing.deadline_s = NEVER_S
    assert {thing.name for thing in popped} == {str(number) for number, _ in moves}
    assert len(popped) == len({number for number, _ in moves})
