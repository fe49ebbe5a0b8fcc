import contextlib

import anyio
import msgspec
import pytest

from gateway import connection_limits as connections
from gateway.connection_limits import ClientLimits, Connections, Refusal, Standing
from gateway.errors import TenantLimitError
from tests.fakes.clock import FakeClock

LIMITS = ClientLimits(head_bytes_max=1024, head_s=1, read_s=1, write_s=1, connections_max=1)


class Hands:
    """A clock that moves on when it is read."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        self.now_s += 1
        return self.now_s

    def unix_s(self) -> float:
        raise NotImplementedError


class Leaver:
    """A connection that is gone once it was looked at."""

    is_held = False

    def __init__(self, all_of_them: Connections) -> None:
        self.all = all_of_them
        self.checked_at_s: list[float] = []

    def check(self) -> None:
        self.checked_at_s.append(self.all.now_s)
        self.all.open.discard(self)

    def evict(self) -> None:
        raise NotImplementedError


async def test_each_sweep_sees_every_connection_at_its_own_time() -> None:
    subject = Connections(LIMITS, Hands())
    leavers = [Leaver(subject) for _ in range(connections.TURN + 3)]
    subject.open.update(leavers)
    with anyio.move_on_after(connections.SWEEP_S * 1.5):
        await subject.sweep()
    assert all(each.checked_at_s == [2.0] for each in leavers)
    assert subject.open == set()


async def test_who_left_in_the_meantime_is_not_looked_at() -> None:
    subject = Connections(LIMITS, Hands())
    checked = []

    class Ender(Leaver):
        def check(self) -> None:
            checked.append(self)
            subject.open.clear()

    subject.open.update(Ender(subject) for _ in range(3))
    with anyio.move_on_after(connections.SWEEP_S * 1.5):
        await subject.sweep()
    assert len(checked) == 1


ROOM = 4


class Stranger:
    """A connection that notes when it is closed, and by what."""

    def __init__(self, name: str = "", *, is_held: bool = False) -> None:
        self.name = name
        self.is_held = is_held
        self.is_evicted = False

    def check(self) -> None:
        raise NotImplementedError

    def evict(self) -> None:
        self.is_evicted = True


class Crowd:
    """The connections of a server, and those that were refused."""

    def __init__(self, *, room: int = ROOM) -> None:
        self.refused: list[Refusal] = []
        limits = ClientLimits(head_bytes_max=1024, head_s=1, read_s=1, write_s=1, connections_max=room)
        self.all = Connections(limits, FakeClock(), lambda reason, _: self.refused.append(reason))

    def come(self, standing: Standing = Standing.INCOMPLETE, *, is_held: bool = False) -> Stranger:
        made = Stranger(is_held=is_held)
        assert self.all.admit(made)
        self.all.move(made, standing)
        return made


EVICTED = [Standing.LINGERING, Standing.IDLE, Standing.INCOMPLETE, Standing.UNKNOWN]


@pytest.mark.parametrize("standings", [EVICTED, EVICTED[::-1]])
def test_they_make_room_in_the_order_of_their_standing(standings: list[Standing]) -> None:
    crowd = Crowd()
    made = {standing: crowd.come(standing) for standing in standings}
    for standing in EVICTED:
        # Held ones are not taken in the place of those that came before them.
        crowd.come(is_held=True)
        assert [each for each in EVICTED if made[each].is_evicted] == EVICTED[: EVICTED.index(standing) + 1]
    assert crowd.refused == [Refusal.EVICTED] * ROOM
    assert not crowd.all.admit(Stranger())


def test_the_one_that_waits_for_longest_goes_first() -> None:
    crowd = Crowd()
    first, second, third, fourth = (crowd.come(Standing.IDLE) for _ in range(ROOM))
    crowd.all.move(first, Standing.INCOMPLETE)
    crowd.all.move(first, Standing.IDLE)
    # What is said again changes nothing.
    crowd.all.move(second, Standing.IDLE)
    gone = []
    for _ in range(3):
        crowd.come(is_held=True)
        gone.append([each.is_evicted for each in (second, third, fourth, first)].count(True))
    assert gone == [1, 2, 3]
    assert second.is_evicted
    assert not first.is_evicted


def test_none_whose_key_was_accepted_makes_room_until_it_is_answered() -> None:
    crowd = Crowd()
    made = [crowd.come(Standing.UNKNOWN, is_held=True) for _ in range(ROOM)]
    late = Stranger()
    assert not crowd.all.admit(late)
    assert not any(each.is_evicted for each in made)
    made[1].is_held = False
    crowd.all.move(made[1], Standing.IDLE)
    assert crowd.all.admit(late)
    assert [each.is_evicted for each in made] == [False, True, False, False]


def test_who_is_turned_away_is_not_kept_account_of_but_counted() -> None:
    crowd = Crowd(room=1)
    crowd.come(is_held=True)
    late = Stranger()
    assert not crowd.all.admit(late)
    crowd.all.open.add(late)
    crowd.all.move(late, Standing.IDLE)
    assert crowd.all.turned_away == 1
    crowd.all.forget(late)
    assert crowd.all.turned_away == 0
    assert len(crowd.all.open) == 1


def test_a_connection_that_is_closed_twice_is_forgotten_once() -> None:
    crowd = Crowd(room=1)
    old = crowd.come()
    new = crowd.come()
    # The loop tells of the end of a connection after it was closed.
    crowd.all.forget(old)
    assert crowd.all.open == {new}
    crowd.all.forget(new)
    assert crowd.all.open == set()
    assert crowd.all.turned_away == 0


def test_making_room_costs_the_same_however_many_are_held() -> None:
    """Each is moved out of the way once."""
    on_health = 0

    class Counted(Stranger):
        @property
        def is_held(self) -> bool:
            nonlocal on_health
            on_health += 1
            return self._is_held

        @is_held.setter
        def is_held(self, value: bool) -> None:
            self._is_held = value

    crowd = Crowd(room=1000)
    for _ in range(999):
        assert crowd.all.admit(Counted(is_held=True))
    for _ in range(1000):
        assert crowd.all.admit(Counted())
    assert on_health < 3000


def test_a_tenant_leaves_connections_to_others() -> None:
    subject = Connections(msgspec.structs.replace(LIMITS, connections_max=100), Hands())
    for _ in range(90):
        subject.claim("greedy")
    with pytest.raises(TenantLimitError) as refused:
        subject.claim("greedy")
    assert (refused.value.maximum, refused.value.limit) == (90, "connections")
    subject.claim("polite")
    for _ in range(90):
        subject.unclaim("greedy")
    subject.unclaim("polite")
    assert (subject._held, subject._held_count) == ({}, 0)


def test_two_greedy_tenants_leave_room_for_a_third() -> None:
    subject = Connections(msgspec.structs.replace(LIMITS, connections_max=1000), Hands())
    for _ in range(600):
        for tenant in ("a", "b"):
            with contextlib.suppress(TenantLimitError):
                subject.claim(tenant)
    assert [subject._held[tenant] for tenant in ("a", "b")] == pytest.approx([474, 474], abs=1)
    subject.claim("c")


def test_every_tenant_may_have_one() -> None:
    subject = Connections(LIMITS, Hands())
    for tenant in ("a", "b"):
        subject.claim(tenant)
        with pytest.raises(TenantLimitError):
            subject.claim(tenant)
