import tracemalloc
from typing import Any

import pytest

from gateway.api.body import (
    DISCARD_BYTES_MAX,
    FIELD_BYTES,
    HELD_BYTES_MIN,
    REQUEST_BYTES,
    ROOM_BYTES_MAX,
    BodyBudget,
    BodyReservation,
    read_body,
)
from gateway.errors import BodiesFullError, BodyTooLargeError, InvalidRequestError

MI = 1024 * 1024


class Sender:
    """A client that sends these pieces, and then maybe goes."""

    def __init__(self, *pieces: bytes, goes: bool = False) -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": goes or at < len(pieces) - 1}
            for at, piece in enumerate(pieces)
        ]
        if goes:
            self.messages.append({"type": "http.disconnect"})

    async def receive(self) -> Any:
        return self.messages.pop(0)


def reservation() -> BodyReservation:
    """Room enough."""
    return BodyReservation(BodyBudget(body_bytes_max=1), "acme")


async def test_pieces_are_joined() -> None:
    assert await read_body(Sender(b"ab", b"", b"c").receive, reservation(), bytes_max=3) == b"abc"
    assert await read_body(Sender(b"").receive, reservation(), bytes_max=3) == b""


async def test_a_body_over_the_limit_is_read_to_its_end_and_refused() -> None:
    sender = Sender(*[b"abc"] * 10)
    with pytest.raises(BodyTooLargeError) as caught:
        await read_body(sender.receive, reservation(), bytes_max=5)
    assert caught.value.bytes_max == 5
    assert sender.messages == []


async def test_a_body_that_is_refused_takes_no_room_while_the_rest_of_it_is_read() -> None:
    held: list[int] = []
    room = BodyBudget(body_bytes_max=1, bytes_max=4 * HELD_BYTES_MIN)

    class Watching(Sender):
        async def receive(self) -> Any:
            held.append(room.held_bytes)
            return await super().receive()

    sender = Watching(b"x" * 100, *[b"x"] * 3)
    with pytest.raises(BodyTooLargeError), room.reserve("a") as reservation:
        await read_body(sender.receive, reservation, bytes_max=50)
    assert sender.messages == []
    assert held[-1] == 0
    assert max(held) > 0


async def test_a_client_is_told_at_once_that_there_is_no_room() -> None:
    """The server reads on for a while, and drops what comes."""
    room = BodyBudget(body_bytes_max=1, bytes_max=4 * HELD_BYTES_MIN)
    sender = Sender(*[b"x" * HELD_BYTES_MIN] * 6)
    with pytest.raises(BodiesFullError), room.reserve("a") as reservation:
        await read_body(sender.receive, reservation, bytes_max=10**6)
    assert len(sender.messages) == 3
    assert room.held_bytes == 0


async def test_a_body_that_is_refused_is_gone_while_the_rest_of_it_is_read() -> None:
    taken: list[int] = []

    class Watching(Sender):
        async def receive(self) -> Any:
            taken.append(tracemalloc.get_traced_memory()[0])
            return await super().receive()

    sender = Watching(*[b"x" * MI] * 12)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            await read_body(sender.receive, reservation(), bytes_max=8 * MI)
    finally:
        tracemalloc.stop()
    assert max(taken) > 7 * MI
    assert taken[-1] < MI


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    piece = b"x" * (8 * 1024 * 1024)
    sender = Sender(*[piece] * 20)
    with pytest.raises(BodyTooLargeError):
        await read_body(sender.receive, reservation(), bytes_max=5)
    assert len(sender.messages) >= 20 - DISCARD_BYTES_MAX // len(piece) - 1 > 0


async def test_a_client_that_goes_is_noticed() -> None:
    with pytest.raises(InvalidRequestError):
        await read_body(Sender(b"abc", goes=True).receive, reservation(), bytes_max=5)


def fill(room: BodyBudget, tenant: str) -> int:
    """Take room for bodies of a MiB until there is none; how many there are."""
    count = 0
    try:
        while True:
            room.take(tenant, 1024 * 1024)
            count += 1
    except BodiesFullError:
        return count


def test_a_tenant_may_have_as_much_as_it_leaves_to_others() -> None:
    room = BodyBudget(body_bytes_max=1)
    assert [fill(room, name) for name in ("a", "b", "c")] == [128, 64, 32]
    assert room.held_bytes < ROOM_BYTES_MAX
    assert fill(room, "a") == 0


def test_the_largest_body_always_has_room() -> None:
    room = BodyBudget(body_bytes_max=ROOM_BYTES_MAX)
    with room.reserve("a") as first, room.reserve("b") as second:
        first.grow(ROOM_BYTES_MAX)
        second.grow(ROOM_BYTES_MAX)
    assert room.held_bytes == 0


@pytest.mark.parametrize(("room_bytes", "largest"), [(100 * MI, 20 * MI), (20 * MI, 9_291_548), (2**40, 20 * MI)])
def test_where_memory_is_limited_no_body_is_larger_than_one_tenant_has_room_for(room_bytes: int, largest: int) -> None:
    room = BodyBudget(body_bytes_max=20 * MI, bytes_max=room_bytes)
    assert room.body_bytes_max == largest
    with room.reserve("a") as only:
        only.grow(largest)
        only.fit(largest, fields=0)
    assert room.bytes_max == room_bytes
    room.admit(body_bytes_max=MI)
    assert (room.body_bytes_max, room.bytes_max) == (MI, room_bytes)


def test_a_request_that_was_read_keeps_its_place_until_it_is_answered() -> None:
    room = BodyBudget(body_bytes_max=20 * MI, bytes_max=100 * MI)
    with room.reserve("a") as reservation:
        reservation.grow(MI)
        reservation.fit(MI, fields=10)
        reservation.keep()
    assert room.held_bytes == REQUEST_BYTES + MI + MI // 8 + 10 * FIELD_BYTES
    reservation.leave()
    reservation.leave()
    assert room.held_bytes == 0


def test_a_small_request_takes_less_once_it_is_read() -> None:
    room = BodyBudget(body_bytes_max=20 * MI)
    with room.reserve("a") as reservation:
        assert room.held_bytes == HELD_BYTES_MIN
        reservation.fit(100, fields=2)
        assert REQUEST_BYTES < room.held_bytes < HELD_BYTES_MIN


def test_fields_take_room_as_well() -> None:
    room = BodyBudget(body_bytes_max=MI, bytes_max=8 * MI)
    with pytest.raises(BodiesFullError), room.reserve("a") as reservation:
        reservation.fit(MI, fields=20_000)
    assert room.held_bytes == 0


async def test_room_is_given_back_however_it_ends() -> None:
    room = BodyBudget(body_bytes_max=1)
    with room.reserve("a") as first:
        assert await read_body(Sender(b"x" * 100_000, b"y").receive, first, bytes_max=200_000)
        assert room.held_bytes == 100_001
    with pytest.raises(InvalidRequestError), room.reserve("a") as second:
        await read_body(Sender(b"x", goes=True).receive, second, bytes_max=5)
    assert room.held_bytes == 0


async def test_a_body_without_room_is_refused_and_what_others_hold_stays() -> None:
    room = BodyBudget(body_bytes_max=1)
    room.take("a", ROOM_BYTES_MAX // 2 - HELD_BYTES_MIN)
    held = room.held_bytes
    with pytest.raises(BodiesFullError), room.reserve("a") as third:
        await read_body(Sender(b"x" * HELD_BYTES_MIN, b"x").receive, third, bytes_max=10**6)
    assert room.held_bytes == held
    room.take("a", HELD_BYTES_MIN)
    with pytest.raises(BodiesFullError), room.reserve("a"):
        raise AssertionError
    assert room.held_bytes == held + HELD_BYTES_MIN
