from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.memory_shares import MemoryReservation, MemoryShares


def fill(room: MemoryShares, tenant: str) -> MemoryReservation:
    place = MemoryReservation(room, tenant)
    while place.hold(place.held_bytes + 1):
        pass
    return place


def test_a_tenant_may_have_as_much_as_it_leaves_to_others() -> None:
    room = MemoryShares(256)
    places = [fill(room, name) for name in ("a", "b", "c", "d")]
    assert [place.held_bytes for place in places] == [128, 64, 32, 16]
    assert fill(room, "a").held_bytes == 0
    for place in places:
        place.leave()
        place.leave()
    assert room.held_bytes == 0
    assert fill(room, "b").held_bytes == 128


def test_a_place_that_finds_no_room_keeps_what_it_has() -> None:
    room = MemoryShares(100)
    place = MemoryReservation(room, "a")
    assert place.hold(50)
    assert not place.hold(51)
    assert (place.held_bytes, room.held_bytes) == (50, 50)
    assert place.hold(10)
    assert place.hold(10)
    assert room.held_bytes == 10


def test_a_smaller_room_takes_nothing_away() -> None:
    room = MemoryShares(100)
    place = MemoryReservation(room, "a")
    assert place.hold(50)
    room.resize(10)
    assert not place.hold(51)
    assert place.hold(49)
    assert place.hold(0)
    assert not MemoryReservation(room, "b").hold(6)
    assert MemoryReservation(room, "b").hold(5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2000)), max_size=60))
def test_it_never_holds_more_than_it_may_and_always_leaves_some(holds: list[tuple[str, int]]) -> None:
    room = MemoryShares(1000)
    places = {name: MemoryReservation(room, name) for name in "abc"}
    for name, size in holds:
        places[name].hold(size)
        assert room.held_bytes == sum(place.held_bytes for place in places.values()) < 1000
        newcomer = MemoryReservation(room, "new")
        assert newcomer.hold((1000 - room.held_bytes) // 2)
        newcomer.leave()
