import asyncio
import contextlib

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.capacity import StaticCapacity
from gateway.admission.gate import Gate
from gateway.errors import NoTurnError, OverShareError
from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.overflow import QueueLimits
from tests.factories import tenant
from tests.virtual_time import LoopClock


def gate(seats: int = 1, per_10s: float | None = None, **bounds: int) -> Gate:
    capacity = StaticCapacity(seats, calls_per_10s=per_10s)
    return Gate(capacity, of_seats(seats), clock=LoopClock(), limits=QueueLimits(**bounds))


def assert_empty(subject: Gate) -> None:
    assert (subject.held, subject.waiting, subject.has_line) == ({}, {}, False)


async def test_a_free_seat_is_given_at_once() -> None:
    subject = gate()
    async with subject.permit(tenant(name="a"), wait_s_max=0) as permit:
        assert permit.wait_s == pytest.approx(0, abs=0.01)
        assert subject.held == {"a": 1}
        assert subject.used == 1
    assert_empty(subject)


async def test_nobody_waits_longer_than_allowed() -> None:
    subject = gate()
    async with subject.permit(tenant(name="a"), wait_s_max=0):
        with pytest.raises(NoTurnError) as caught:
            async with subject.permit(tenant(name="b"), wait_s_max=0.01):
                pass
    assert caught.value.retry_after_s > 0
    assert_empty(subject)


async def test_each_tenants_line_is_bounded() -> None:
    subject = gate(tenant_tickets_max=1)
    with anyio.fail_after(5):
        async with subject.permit(tenant(name="holder"), wait_s_max=1), anyio.create_task_group() as tasks:

            async def wait() -> None:
                async with subject.permit(tenant(name="a"), wait_s_max=60):
                    pass

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(OverShareError):
                async with subject.permit(tenant(name="a"), wait_s_max=60):
                    pass
            # A full line is its own tenant's: another one still waits in its own.
            started = anyio.current_time()
            with pytest.raises(NoTurnError):
                async with subject.permit(tenant(name="b"), wait_s_max=0.05):
                    pass
            assert anyio.current_time() - started >= 0.04
            tasks.cancel_scope.cancel()
    assert_empty(subject)


async def test_turns_come_in_order_and_urgent_ones_first() -> None:
    subject, turns = gate(), []

    async def take(name: str, *, is_urgent: bool) -> None:
        async with subject.permit(tenant(name="t"), wait_s_max=5, is_urgent=is_urgent):
            turns.append(name)
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(5):
        async with subject.permit(tenant(name="holder"), wait_s_max=0), anyio.create_task_group() as tasks:
            for name, is_urgent in (("first", False), ("second", False), ("urgent", True)):
                tasks.start_soon(lambda name=name, is_urgent=is_urgent: take(name, is_urgent=is_urgent))
                await anyio.wait_all_tasks_blocked()
            assert subject.waiting == {"t": 3}
            tasks.start_soon(anyio.sleep, 0)
            # The holder's seat comes free when this block is left; the others are waited for by the group.
            await anyio.wait_all_tasks_blocked()
            subject._capacity.seats_max = 2
            subject.pump()
    assert turns == ["urgent", "first", "second"]
    assert_empty(subject)


async def test_the_pacer_is_waited_for() -> None:
    subject = gate(seats=5, per_10s=1000)
    with anyio.fail_after(5):
        for _ in range(40):
            async with subject.permit(tenant(name="a"), wait_s_max=1):
                pass
    assert_empty(subject)
    assert not subject._timer.is_set


async def test_leaving_the_line_stops_the_timer() -> None:
    subject = gate(per_10s=1)
    async with subject.permit(tenant(name="a"), wait_s_max=0):
        pass
    with pytest.raises(NoTurnError):
        async with subject.permit(tenant(name="a"), wait_s_max=0.01):
            pass
    assert not subject._timer.is_set


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25), st.integers(1, 3))
async def test_no_permit_leaks_whenever_a_waiter_is_cancelled(visits: list[tuple[int, int]], seats: int) -> None:
    """Each visitor holds for some ticks and is cancelled after some ticks: before, at, or after its grant."""
    subject, over = gate(seats=seats), []

    async def tick(count: int) -> None:
        for _ in range(count):
            await anyio.lowlevel.checkpoint()

    async def visit(hold: int) -> None:
        async with subject.permit(tenant(name="t"), wait_s_max=1000):
            over.append(sum(subject.held.values()) > seats)
            await tick(hold)

    async def visit_and_leave(hold: int, leave: int) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(visit, hold)
                await tick(leave)
                if leave < 6:
                    scope.cancel()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for hold, leave in visits:
                tasks.start_soon(visit_and_leave, hold, leave)
    assert not any(over)
    assert_empty(subject)


async def test_when_all_is_full_the_newest_of_the_fattest_makes_room() -> None:
    subject = gate(tickets_max=3)
    outcomes: dict[str, str] = {}

    async def visit(name: str) -> None:
        try:
            async with subject.permit(tenant(name=name[0]), wait_s_max=1000):
                outcomes[name] = "served"
        except OverShareError:
            outcomes[name] = "refused"

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, subject.permit(tenant(name="holder"), wait_s_max=0):
            for name in ("f1", "f2", "f3", "t1", "f4"):
                tasks.start_soon(visit, name)
                await anyio.wait_all_tasks_blocked()
            # The third of the fat one went when the thin one came, and the fat one makes no room for itself.
            assert outcomes == {"f3": "refused", "f4": "refused"}
    assert outcomes == {"f1": "served", "f2": "served", "t1": "served", "f3": "refused", "f4": "refused"}
    assert_empty(subject)


async def test_a_429_charges_nobody_and_pauses_the_gate() -> None:
    subject = gate(seats=2, per_10s=1000)
    with anyio.fail_after(5):
        async with subject.permit(tenant(name="a"), wait_s_max=0) as permit:
            await anyio.sleep(0.02)
            assert subject.served()["a"] > 0.01
            subject.refused_upstream(permit, retry_after_s=0.05)
            assert subject.served()["a"] == pytest.approx(0, abs=0.005)
        with pytest.raises(NoTurnError):
            async with subject.permit(tenant(name="b"), wait_s_max=0.01):
                pass
        async with subject.permit(tenant(name="b"), wait_s_max=1) as permit:
            assert permit.wait_s > 0.01
    assert_empty(subject)


async def test_what_is_settled_takes_the_place_of_what_was_charged() -> None:
    subject = gate()
    async with subject.permit(tenant(name="a"), wait_s_max=0) as permit:
        subject.charge(permit, 5)
        await anyio.sleep(0.01)
        subject.settle(permit, 2)
        assert subject.served()["a"] == pytest.approx(2, abs=0.01)
    await anyio.sleep(0.01)
    # Also when it is known only after the seat was given back.
    subject.settle(permit, 7)
    assert subject._queue.served(["a"], 0)["a"] == pytest.approx(7, abs=0.001)


async def test_a_permit_that_is_noticed_late_counts_as_sent_then() -> None:
    subject = gate(seats=10, per_10s=40)
    taken: list[float] = []
    subject._capacity.take = taken.append  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        async with subject.permit(tenant(name="holder"), wait_s_max=0):
            subject._capacity.seats_max = 1

            async def wait() -> None:
                async with subject.permit(tenant(name="a"), wait_s_max=5):
                    pass

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            before = len(taken)
        # The loop is busy between the grant and the owner's learning of it.
        asyncio.get_running_loop().be_busy(0.06)  # type: ignore[attr-defined]
    assert len(taken) == before + 2


async def test_the_weights_in_force_count_for_those_who_wait_and_not_what_requests_bring_along() -> None:
    subject, order = gate(seats=2), list[str]()
    subject.reweigh({"a": 1.0, "b": 1.0})
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, contextlib.AsyncExitStack() as seats:
            for name in ("a", "b"):
                await seats.enter_async_context(subject.permit(tenant(name=name), wait_s_max=0))

            async def wait(name: str) -> None:
                async with subject.permit(tenant(name=name, weight=1000.0), wait_s_max=60):
                    order.append(name)

            for name in ("a", "a", "b", "b"):
                tasks.start_soon(wait, name)
                await anyio.wait_all_tasks_blocked()
            assert subject.fair_seats() == {"a": 1.0, "b": 1.0}
            subject.reweigh({"a": 1.0, "b": 3.0})
            assert subject.fair_seats() == {"a": 0.5, "b": 1.5}
            assert subject.occupancy.weights() == {"a": 1.0, "b": 3.0}
            tasks.start_soon(wait, "a")
            await anyio.wait_all_tasks_blocked()
            assert subject.fair_seats() == {"a": 0.5, "b": 1.5}
            assert subject.occupancy.weights() == {"a": 1.0, "b": 3.0}
            await seats.aclose()
    assert order[0] == "b"
    assert_empty(subject)


async def test_what_other_replicas_say_of_a_weight_does_not_count_where_it_is_known() -> None:
    subject = gate()
    subject.reweigh({"a": 2.0})
    subject.note_remote_usage([("a", 1.0, 1, 0.0), ("b", 2.0, 1, 0.0)])
    assert subject.fair_seats() == {"a": 0.5, "b": 0.5}


async def test_more_seats_are_granted_at_once_and_fewer_as_they_come_back() -> None:
    subject = gate(seats=1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            done = anyio.Event()

            async def hold() -> None:
                async with subject.permit(tenant(name="a"), wait_s_max=60):
                    await done.wait()

            for _ in range(3):
                tasks.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            assert (subject.held, subject.waiting) == ({"a": 1}, {"a": 2})
            subject.resize(2, of_seats(2), capped_wait_s_max=60)
            assert (subject.held, subject.waiting) == ({"a": 2}, {"a": 1})
            subject.resize(1, of_seats(1), capped_wait_s_max=60)
            assert (subject.held, subject.waiting, subject.used) == ({"a": 2}, {"a": 1}, 2.0)
            done.set()
    assert_empty(subject)


async def test_a_seat_that_is_kept_is_free_when_its_last_user_has_released_it() -> None:
    subject = gate()
    async with subject.permit(tenant(name="a"), wait_s_max=0) as permit:
        first, second = permit.keep(), permit.keep()
    assert subject.held == {"a": 1}
    first()
    first()
    assert subject.held == {"a": 1}
    with pytest.raises(NoTurnError):
        async with subject.permit(tenant(name="b"), wait_s_max=0.01):
            pass
    second()
    assert_empty(subject)


async def test_a_kept_seat_is_charged_for_until_it_is_released() -> None:
    subject = gate()
    async with subject.permit(tenant(name="a"), wait_s_max=0) as permit:
        release = permit.keep()
    await anyio.sleep(3)
    assert subject.served()["a"] == pytest.approx(3, abs=0.1)
    release()
    await anyio.sleep(3)
    async with subject.permit(tenant(name="a"), wait_s_max=0):
        assert subject.served()["a"] == pytest.approx(3, abs=0.1)


async def test_a_seat_is_held_for_work_that_runs_already_beyond_the_capacity_too() -> None:
    subject = gate()
    async with subject.permit(tenant(name="a"), wait_s_max=0):
        beyond = subject.hold(tenant(name="b"))
        assert subject.held == {"a": 1, "b": 1}
    with pytest.raises(NoTurnError):
        async with subject.permit(tenant(name="a"), wait_s_max=0.01):
            pass
    beyond.release()
    assert_empty(subject)
