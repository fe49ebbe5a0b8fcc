import anyio

from gateway import connections
from gateway.connections import ClientLimits, Connections

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

    def __init__(self, all_of_them: Connections) -> None:
        self.all = all_of_them
        self.checked_at_s: list[float] = []

    def check(self) -> None:
        self.checked_at_s.append(self.all.now_s)
        self.all.open.discard(self)


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
