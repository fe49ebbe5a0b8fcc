from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.lazy_heap import VOID_ENTRIES_MIN, LazyHeap

STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "lower", "remove", "wait"]), st.integers(0, 5), st.floats(0, 5)),
    max_size=60,
)


@given(STEPS)
def test_the_smallest_is_found_while_keys_grow(steps: list[tuple[str, int, float]]) -> None:
    """Against reading every key: members have a base and a speed of their own."""
    bases, now_s, members = dict.fromkeys(range(6), 0.0), 0.0, set()

    def key(member: int, at_s: float) -> float:
        return bases[member] + member * at_s

    heap: LazyHeap[int] = LazyHeap(key)
    for what, member, amount in steps:
        match what:
            case "push":
                members.add(member)
                heap.push(member, now_s)
            case "lower" if member in members:
                bases[member] -= amount
                heap.push(member, now_s)
            case "remove":
                members.discard(member)
                heap.remove(member)
            case "wait":
                now_s += amount
        found = heap.smallest(now_s)
        assert (found is None) is (not members)
        if found is not None:
            assert key(found, now_s) == min(key(each, now_s) for each in members)


def test_equals_go_round() -> None:
    heap: LazyHeap[str] = LazyHeap(lambda _member, _now_s: 1.0)
    turns = []
    for name in ("a", "b", "c"):
        heap.push(name, 0.0)
    for _ in range(6):
        name = heap.smallest(0.0)
        assert name is not None
        turns.append(name)
        heap.push(name, 0.0)
    assert turns == ["a", "b", "c"] * 2


def test_one_who_comes_and_goes_leaves_nothing_behind() -> None:
    heap: LazyHeap[str] = LazyHeap(lambda member, _now_s: 0.0 if member == "waiting" else 1.0)
    heap.push("waiting", 0.0)
    for _ in range(10_000):
        heap.push("hasty", 0.0)
        heap.remove("hasty")
        assert heap.smallest(0.0) == "waiting"
        assert len(heap._entries) <= VOID_ENTRIES_MIN + 4


def test_of_those_that_may_the_smallest_is_found_and_nothing_changes() -> None:
    keys = {"a": 1.0, "b": 2.0, "c": 2.0}
    heap: LazyHeap[str] = LazyHeap(lambda member, _: keys[member])
    for member in keys:
        heap.push(member, 0.0)
    heap.push("b", 0.0)
    assert heap.smallest_of(lambda _: True, 0.0) == "a"
    # Among equals the one that was pushed first.
    assert heap.smallest_of(lambda member: member != "a", 0.0) == "c"
    assert heap.smallest_of(lambda _: False, 0.0) is None
    heap.remove("c")
    assert heap.smallest_of(lambda member: member != "a", 0.0) == "b"
    assert heap.smallest(0.0) == "a"
