from typing import Any

import httpx
import pytest

from gateway.endpoints.gpu_time import CLOSE_LOOK_S, DOUBT_S_MAX, QUICK_LOOK_S, AttemptCost, GpuTime
from gateway.events import Event, GpuTimeSettled, Outcome
from gateway.exchange.record import Record
from tests.factories import attempt
from tests.fakes.clock import FakeClock
from tests.fakes.runpod import FakeRunpod
from tests.subject import running


class World:
    """A clock that tests move, and what was told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[Event] = []
        self.gpu = GpuTime(self.clock, self.told.append)

    def pass_s(self, seconds: float) -> None:
        self.clock.now_s += seconds


def test_every_attempt_is_settled_once_and_keeps_its_name() -> None:
    world, settled = World(), list[float]()
    first = world.gpu.open(attempt(number=1), settled.append)
    second = world.gpu.open(attempt(number=2), settled.append)
    first.started()
    second.started()
    world.pass_s(4)
    assert first.gpu_s == pytest.approx(2, abs=1e-6)
    first.ended()
    first.ended()
    second.ended()
    assert settled == []
    world.gpu.read_workers(1)
    assert settled == pytest.approx([2, 2], abs=1e-6)
    assert first.gpu_s == settled[0]
    numbers = [event.attempt.number for event in world.told if isinstance(event, GpuTimeSettled)]
    assert sorted(numbers) == [1, 2]


def test_a_settlement_waits_until_no_start_before_it_is_unknown() -> None:
    world = World()
    waiting = world.gpu.open(attempt(number=1), lambda _gpu_s: None)
    served = world.gpu.open(attempt(number=2), lambda _gpu_s: None)
    served.started()
    world.pass_s(3)
    served.ended()
    assert world.told == []
    assert served.gpu_s == pytest.approx(3, abs=1e-6)
    waiting.queued()
    world.gpu.advance()
    assert len(world.told) == 1


@pytest.mark.parametrize(("end_s", "charged_s"), [(2.5, 2.5), (60.0, 4.0)])
def test_an_end_at_another_time_is_charged_to_then_and_never_beyond_now(end_s: float, charged_s: float) -> None:
    world, settled = World(), list[float]()
    began_s = world.clock.now_s
    late = world.gpu.open(attempt(number=1), settled.append)
    late.started()
    world.pass_s(4)
    late.ended(at_s=began_s + end_s)
    world.gpu.read_workers(1)
    assert settled == pytest.approx([charged_s], abs=1e-6)


def test_idle_workers_are_counted_apart() -> None:
    world = World()
    world.gpu.read_workers(2)
    world.pass_s(5)
    world.gpu.advance()
    assert world.gpu.idle_s == pytest.approx(10, abs=1e-6)
    world.gpu.read_others(2)
    world.pass_s(5)
    world.gpu.advance()
    assert world.gpu.idle_s == pytest.approx(10, abs=1e-6)


def test_a_cost_is_unknown_until_it_is_handed_over() -> None:
    world = World()
    cost = AttemptCost(attempt(job_id=None), lambda _gpu_s: None)
    assert (cost.gpu_s, cost.execution_s) == (None, None)
    time = cost.open(world.gpu, job_id="j-7")
    assert cost.attempt.job_id == "j-7"
    time.started()
    world.pass_s(2)
    time.execution_s = 9.0
    assert cost.gpu_s == pytest.approx(2, abs=1e-6)
    assert cost.execution_s == 9.0


@pytest.mark.parametrize("is_complete_first", [True, False])
def test_a_complete_attempt_is_told_as_such_once_whatever_is_known_first(*, is_complete_first: bool) -> None:
    world, complete = World(), list[float]()
    cost = AttemptCost(attempt(), lambda _gpu_s: None, complete.append)
    time = cost.open(world.gpu)
    time.started()
    world.pass_s(2)
    if is_complete_first:
        cost.complete()
        time.ended()
    else:
        time.ended()
        cost.complete()
    assert complete == pytest.approx([2], abs=1e-6)


def test_an_attempt_that_is_not_complete_counts_for_no_mean() -> None:
    world, settled, complete = World(), list[float](), list[float]()
    cost = AttemptCost(attempt(), settled.append, complete.append)
    cost.close(was_sent=True)
    cost.open(world.gpu).started()
    cost.close(was_sent=True)
    assert (settled, complete) == ([0.0], [])


def test_an_attempt_that_was_not_sent_is_forgotten() -> None:
    world, settled = World(), list[float]()
    cost = AttemptCost(attempt(), settled.append)
    cost.open(world.gpu).started()
    world.pass_s(3)
    cost.close(was_sent=False)
    cost.complete()
    assert (settled, world.told, cost.gpu_s, world.gpu.running) == ([], [], None, 0)


def test_runpod_s_word_on_how_long_an_attempt_ran_counts_as_far_as_time_is_not_divided() -> None:
    world, settled = World(), list[float]()
    early, late, odd = [world.gpu.open(attempt(number=number), settled.append) for number in range(3)]
    early.started()
    world.pass_s(6)
    odd.ended(after_s=3)
    early.ended(after_s=2)
    late.ended(after_s=1)
    assert sorted(settled) == pytest.approx([0, 0, 2], abs=1e-6)
    world.gpu.open(attempt(number=4), settled.append).started()
    last = world.gpu.open(attempt(number=5), settled.append)
    last.started()
    world.pass_s(6)
    world.gpu.read_workers(1)
    last.ended(after_s=100)
    assert settled[-1] == pytest.approx(3, abs=1e-6)


def test_a_start_that_is_learned_late_counts_back_for_as_long_as_is_doubted() -> None:
    world, settled = World(), list[float]()
    time = world.gpu.open(attempt(), settled.append)
    other = world.gpu.open(attempt(number=2), settled.append)
    other.started()
    world.pass_s(1)
    other.ended()
    world.gpu.advance()
    assert settled == []
    world.pass_s(DOUBT_S_MAX + 2)
    world.gpu.advance()
    assert settled == pytest.approx([1], abs=1e-6)
    time.started()
    time.ended()
    assert settled == pytest.approx([1, DOUBT_S_MAX], abs=1e-6)


def test_what_is_open_when_the_process_ends_is_settled_or_another_one_s_to_charge() -> None:
    world, settled = World(), list[float]()
    names = ["begun", "waits", "left", "answered"]
    times = {name: world.gpu.open(attempt(job_id=name), settled.append) for name in names}
    for name in ("begun", "left", "answered"):
        times[name].started()
    world.pass_s(3)
    # Its settlement still waits for the one whose start is unknown.
    times["answered"].ended()
    world.pass_s(3)
    world.gpu.close(lambda one: one.job_id == "left")
    assert sorted(settled) == pytest.approx([0, 1, 2.5], abs=1e-6)
    assert len(world.told) == 3
    assert world.gpu.running == 0


@pytest.mark.parametrize(
    ("readings", "charged_s"),
    [
        # Two without a worker are sure; the first may be older than the start, and what cannot be read says nothing.
        ([0, 0, 0], 2),
        ([0, None, 0], 4),
        ([0, 1, 0], 4),
        ([None, None, None], 4),
    ],
)
def test_an_attempt_costs_nothing_when_all_workers_are_gone(readings: list[int | None], charged_s: float) -> None:
    world, settled = World(), list[float]()
    world.gpu.read_workers(0)
    time = world.gpu.open(attempt(), settled.append)
    time.started()
    for reading in readings:
        world.pass_s(1)
        world.gpu.read_workers(reading)
    world.pass_s(1)
    time.ended()
    assert settled == pytest.approx([charged_s], abs=1e-6)


def test_workers_that_come_for_a_burst_are_counted_from_its_beginning() -> None:
    world, settled = World(), list[float]()
    world.gpu.read_workers(1)
    world.pass_s(4)
    times = [world.gpu.open(attempt(number=number), settled.append) for number in range(4)]
    for each in times:
        each.started()
    world.pass_s(0.5)
    asked_at_s = world.clock.now_s
    world.pass_s(0.2)
    world.gpu.read_workers(4, asked_at_s=asked_at_s)
    world.pass_s(1.3)
    for each in times:
        each.ended()
    assert settled == pytest.approx([2, 2, 2, 2], abs=1e-6)
    assert world.gpu.idle_s == pytest.approx(4, abs=1e-6)


def test_the_number_of_workers_is_looked_at_often_while_it_may_change() -> None:
    world = World()
    assert world.gpu.look_s is None
    world.gpu.read_workers(1)
    first, second = [world.gpu.open(attempt(number=number), lambda _gpu_s: None) for number in range(2)]
    first.started()
    assert world.gpu.look_s is None
    second.started()
    assert world.gpu.look_s == QUICK_LOOK_S
    world.gpu.read_workers(1)
    assert world.gpu.look_s == CLOSE_LOOK_S
    for _ in range(2):
        world.gpu.read_others(1)
    assert world.gpu.look_s == QUICK_LOOK_S
    world.gpu.read_workers(3)
    assert world.gpu.look_s == CLOSE_LOOK_S
    world.gpu.read_workers(3)
    assert world.gpu.look_s is None


def test_other_replicas_are_told_of_what_runs_now_and_not_of_what_is_accounted_for() -> None:
    world = World()
    world.gpu.open(attempt(number=1), lambda _gpu_s: None)
    served = world.gpu.open(attempt(number=2), lambda _gpu_s: None)
    world.pass_s(3)
    served.started()
    # Its account waits for the start of the first one.
    world.gpu.advance()
    assert world.gpu.running == 1
    served.ended()
    assert world.gpu.running == 0


@pytest.mark.parametrize(
    ("failure", "told"),
    [(httpx.ReadTimeout("lost"), [None]), ((502, b"<html>"), [None]), (httpx.ConnectError("no"), []), ((429, b""), [])],
)
async def test_a_job_whose_id_was_lost_is_told_without_a_figure(failure: Any, told: list[None]) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"run": [failure] * 3}
    async with running(runpod, endpoint={"queue_timeout_s": 0.05}) as subject:
        seen: list[Event] = []
        subject.gateway._upstreams["chat"].gpu._observe = seen.append
        assert (await subject.post()).status in {502, 503}
        assert [event.gpu_s for event in seen if isinstance(event, GpuTimeSettled)] == told


async def test_a_figure_that_is_not_final_is_told_as_such() -> None:
    world = World()
    cost = AttemptCost(attempt(), lambda _gpu_s: None)
    record = Record(request_id="r", clock=world.clock)
    record.attempts.append(cost)
    assert not record.settle(Outcome.COMPLETED, status=200).is_gpu_estimate
    cost.open(world.gpu).started()
    assert record.settle(Outcome.COMPLETED, status=200).is_gpu_estimate
    cost.close(was_sent=True)
    assert not record.settle(Outcome.COMPLETED, status=200).is_gpu_estimate
