"""What a tenant is made of concerns nobody but itself."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import Tenant
from tests.invariants.profile import steady
from tests.invariants.seats_world import SeatsWorld
from tests.invariants.stage import Stage

WEIGHTS = {"split": 2.0, "one": 1.0, "two": 3.0}
Steps = list[tuple[str, int, float]]
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(WEIGHTS)), st.integers(1, 5), st.floats(0, 4)), min_size=1, max_size=30
)


def trace_of(seats: int, steps: Steps, members: int, names: dict[str, str] | None = None) -> list[str]:
    """Whose turn came when, where the tenant's requests come from so many of its members in turn."""
    names = names or {name: name for name in WEIGHTS}
    weights = {names[name]: weight for name, weight in WEIGHTS.items()}
    back = {new: old for old, new in names.items()}
    world = SeatsWorld(seats, weights, lambda name, turn: 0.5 + (turn * 7 + 3 * len(back[name])) % 5)
    asked = 0
    for name, count, pause_s in steps:
        for _ in range(count):
            asked += 1
            world.ask(names[name], member=f"key{asked % members}" if name == "split" else "")
        world.run_until(world.now_s + pause_s)
    world.run_until(world.now_s + 10_000)
    return [back[name] for name in world.trace]


@given(st.integers(1, 5), STEPS, st.integers(2, 9))
@steady(80)
def test_splitting_a_tenant_into_members_changes_nothing_for_the_others(seats: int, steps: Steps, members: int) -> None:
    assert trace_of(seats, steps, 1) == trace_of(seats, steps, members), "hierarchy: others noticed the members"


@given(st.integers(1, 5), STEPS)
@steady(60)
def test_the_same_steps_give_the_same_turns_whatever_the_tenants_are_called(seats: int, steps: Steps) -> None:
    renamed = dict(zip(sorted(WEIGHTS), ("zoe", "max", "adam"), strict=True))
    assert trace_of(seats, steps, 1) == trace_of(seats, steps, 1), "order: not the same twice"
    # Hold times go by the length of the old names, so only the names differ.
    assert trace_of(seats, steps, 1) == trace_of(seats, steps, 1, renamed), "order: names decide"


@given(st.integers(2, 6), st.integers(1, 4))
@steady(15)
def test_members_at_a_gate_share_their_tenant_s_turns_and_no_more(members: int, seats: int) -> None:
    with Stage(seats) as stage:
        split, rival = Tenant(name="split"), Tenant(name="rival")
        for number in range(12 * members):
            stage.submit(split, member=f"key{number % members}")
        for _ in range(12 * members):
            stage.submit(rival)
        turns: Counter[str] = Counter()
        for _ in range(12):
            stage.pass_time(1.0)
            for visit in stage.inside():
                turns[visit.tenant.name] += 1
                visit.ends.set()
        assert abs(turns["split"] - turns["rival"]) <= seats + 1, "hierarchy: members brought turns"
        stage.cancel_all()
        stage.check_nothing_is_left()


@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.integers(1, 60))
@steady(40)
def test_members_take_turns_among_themselves(asked: list[int], turns: int) -> None:
    world = SeatsWorld(1, {"t": 1.0}, lambda _name, _turn: 1.0)
    members: list[int] = []
    for member, count in enumerate(asked):
        members += [member] * count
        world.ask("t", count, member=str(member))
    world.run_until(turns - 0.5)
    served = Counter(members[number] for number in set(range(len(members))) - set(world._asked))
    waiting = [member for member in range(len(asked)) if served[member] < asked[member]]
    for member in waiting:
        assert served[member] >= max(served.values()) - 1, "hierarchy: a member lags behind its equals"
