import anyio
import pytest

from gateway.admission.capacity import StaticCapacities
from gateway.admission.cold_start_cap import ColdStartCap
from gateway.admission.gate import Gate
from gateway.errors import NoTurnError, RefusedError
from gateway.fairshare.cost_model import of_seats
from tests.factories import tenant
from tests.virtual_time import LoopClock


def test_the_time_under_a_ceiling_adds_up() -> None:
    cold_start_cap = ColdStartCap()
    assert cold_start_cap.total_s(5.0) == 0
    cold_start_cap.begin(1, 10.0)
    cold_start_cap.begin(2, 12.0)
    assert (cold_start_cap.seats, cold_start_cap.total_s(15.0)) == (2, 5.0)
    cold_start_cap.end(20.0)
    cold_start_cap.end(25.0)
    assert (cold_start_cap.seats, cold_start_cap.total_s(30.0)) == (None, 10.0)


def gate(seats: int, *, capped_wait_s_max: float = 10.0) -> Gate:
    capacity = StaticCapacities().seats("work", seats)
    return Gate(capacity, of_seats(seats), clock=LoopClock(), capped_wait_s_max=capped_wait_s_max)


async def test_a_narrowed_gate_lets_few_through_and_a_wide_one_all() -> None:
    subject = gate(8)
    subject.cap(1)
    let_in = 0

    async def ask() -> None:
        nonlocal let_in
        async with subject.permit(tenant(), wait_s_max=5):
            let_in += 1
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert let_in == 1
        subject.uncap()
        await anyio.wait_all_tasks_blocked()
        assert let_in == 6
        tasks.cancel_scope.cancel()
    assert subject.held == {}


async def test_the_time_that_it_is_narrowed_is_no_wait_for_a_turn() -> None:
    subject = gate(8)
    subject.cap(1)
    async with subject.permit(tenant(), wait_s_max=1), anyio.create_task_group() as tasks:

        async def uncap() -> None:
            await anyio.sleep(0.3)
            subject.uncap()

        tasks.start_soon(uncap)
        async with subject.permit(tenant(), wait_s_max=0.1) as permit:
            assert permit.wait_s >= 0.3


async def test_nobody_waits_at_a_narrowed_gate_for_ever() -> None:
    subject = gate(8, capped_wait_s_max=0.2)
    subject.cap(1)
    async with subject.permit(tenant(), wait_s_max=1):
        with anyio.fail_after(2), pytest.raises(NoTurnError):
            async with subject.permit(tenant(), wait_s_max=5):
                pass


async def test_when_it_is_wide_again_the_ordinary_limit_holds() -> None:
    subject = gate(1)
    subject.cap(1)
    subject.uncap()
    async with subject.permit(tenant(), wait_s_max=1):
        with anyio.fail_after(2), pytest.raises(RefusedError):
            async with subject.permit(tenant(), wait_s_max=0.1):
                pass


async def test_what_those_in_line_came_for_may_be_gone_when_their_turn_comes() -> None:
    subject, let_in = gate(2), 0

    async def ask(stay_s: float) -> None:
        nonlocal let_in
        async with subject.permit(tenant(), wait_s_max=50):
            let_in += 1
            await anyio.sleep(stay_s)

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(ask, 1)
        await anyio.wait_all_tasks_blocked()
        subject.cold_start_cap.ceiling = lambda: 1
        for _ in range(3):
            tasks.start_soon(ask, 1000)
        await anyio.sleep(2)
        assert (let_in, subject.held) == (3, {"acme": 1})
        subject.cold_start_cap.ceiling = lambda: None
        subject.uncap()
        await anyio.wait_all_tasks_blocked()
        assert let_in == 4
        tasks.cancel_scope.cancel()


async def test_the_ceiling_is_each_tenant_s_own_and_turns_come_in_order_below_it() -> None:
    subject, let_in = gate(8), list[str]()
    subject.cap(1)

    async def ask(name: str) -> None:
        async with subject.permit(tenant(name=name), wait_s_max=1000):
            let_in.append(name)
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        for name in ("hostile", "hostile", "hostile", "other", "third", "other"):
            tasks.start_soon(ask, name)
            await anyio.wait_all_tasks_blocked()
        assert let_in == ["hostile", "other", "third"]
        # The request of one has shown output.
        subject.cold_start_cap.beside = {"hostile": 0, "other": 1, "third": 1}.__getitem__
        subject.pump()
        await anyio.wait_all_tasks_blocked()
        assert let_in[3:] == ["other"]
        subject.uncap()
        await anyio.wait_all_tasks_blocked()
        assert let_in[4:] == ["hostile", "hostile"]
        tasks.cancel_scope.cancel()
    assert subject.held == {}
