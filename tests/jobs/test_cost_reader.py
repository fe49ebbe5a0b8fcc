"""What an answered job has cost is asked for politely, and never at any price."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.domain import Operation
from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.jobs.cost_reader import PAUSES_S, TOTAL_S_MAX, TURN_S_MAX, CostReader
from gateway.upstream.job_api import UNCOUNTED_BYTES
from tests.factories import tenant
from tests.fakes.clock import FakeClock
from tests.jobs.test_job_call import LOST, REFUSED
from tests.jobs.test_job_submission import new_job
from tests.machines import services

RUNS = b'{"status":"IN_PROGRESS","delayTime":500}'
ENDED = b'{"status":"COMPLETED","delayTime":500,"executionTime":1500}'
LARGE = bytes(UNCOUNTED_BYTES + 1)


class Asking:
    """An answered job, and the reader of its cost."""

    def __init__(self, *, was_end_seen: bool = False) -> None:
        self.clock = FakeClock()
        world = services(self.clock, limits={"status": {"per_10s": 1000, "concurrent": 1}})
        self.upstream = world.upstreams["chat"]
        self.gate = self.upstream.gates.call(Operation.STATUS)
        self.job = new_job(world)
        self.job.accepted("job-1", ttl_s=100)
        self.job.stream.is_terminal = was_end_seen
        self.costs = CostReader(self.job)
        self.costs.begin()

    def resume(self) -> float:
        """Let the pause pass, and return its length."""
        action = self.costs.action
        assert isinstance(action, Pause)
        pause_s = action.until_s - self.clock.now_s
        self.clock.now_s = action.until_s
        self.costs.resumed()
        return pause_s

    def reply(self, status: int, *pieces: bytes) -> None:
        action = self.costs.action
        assert isinstance(action, Send)
        assert action.request.path == "/status/job-1"
        self.costs.head(status, None)
        for piece in pieces:
            self.costs.piece(piece)
        self.costs.ended()

    def check_over(self) -> None:
        assert self.costs.action is None
        assert (self.gate.held, self.gate.waiting, self.upstream.answers.held_bytes) == ({}, {}, 0)


@pytest.mark.parametrize("was_end_seen", [False, True])
def test_a_job_that_has_ended_is_asked_for_once(*, was_end_seen: bool) -> None:
    asking = Asking(was_end_seen=was_end_seen)
    assert asking.resume() == 0
    asking.reply(200, ENDED[:9], ENDED[9:])
    stream = asking.job.stream
    assert (stream.execution_s, stream.delay_s, stream.is_terminal) == (1.5, 0.5, True)
    asking.check_over()


def test_an_end_without_a_time_is_not_asked_for_again() -> None:
    asking = Asking(was_end_seen=True)
    asking.resume()
    asking.reply(200, b'{"status":"COMPLETED"}')
    asking.check_over()


def test_a_job_that_has_not_ended_is_asked_for_again_and_ever_later() -> None:
    asking = Asking()
    pauses = []
    while asking.costs.action is not None:
        pauses.append(asking.resume())
        asking.reply(200, RUNS)
    assert pauses == pytest.approx(PAUSES_S)
    assert pauses == sorted(pauses)
    assert (asking.job.stream.execution_s, asking.job.stream.delay_s) == (None, 0.5)
    asking.check_over()


@pytest.mark.parametrize("questions", [2, len(PAUSES_S)])
def test_it_may_end_at_any_question(questions: int) -> None:
    asking = Asking()
    for reply in [*[RUNS] * (questions - 1), ENDED]:
        asking.resume()
        asking.reply(200, reply)
    assert asking.job.stream.execution_s == 1.5
    asking.check_over()


@pytest.mark.parametrize(
    "fail",
    [
        lambda asking: asking.reply(404),
        lambda asking: asking.reply(429),
        lambda asking: asking.reply(500),
        lambda asking: asking.reply(200, b"{"),
        lambda asking: asking.reply(200, LARGE),
        lambda asking: asking.costs.failed(LOST),
        lambda asking: asking.costs.failed(REFUSED),
    ],
    ids=["404", "429", "500", "malformed", "large and malformed", "broken", "refused"],
)
def test_any_failure_ends_it_silently(fail: Callable[[Asking], None]) -> None:
    asking = Asking()
    asking.resume()
    fail(asking)
    asking.check_over()
    assert not asking.job.stream.is_terminal


def test_a_reply_without_room_ends_it_silently() -> None:
    asking = Asking()
    asking.resume()
    asking.upstream.answers.resize(0)
    asking.costs.head(200, None)
    asking.costs.piece(LARGE)
    asking.check_over()


def test_the_outputs_of_a_reply_are_counted_and_dropped() -> None:
    asking = Asking()
    asking.resume()
    asking.costs.head(200, None)
    asking.costs.piece(RUNS[:-1] + b',"output":"' + LARGE.replace(b"\0", b"x"))
    assert asking.upstream.answers.held_bytes > UNCOUNTED_BYTES
    asking.costs.piece(b'"}')
    asking.costs.ended()
    assert isinstance(asking.costs.action, Pause)
    assert asking.upstream.answers.held_bytes == 0


def test_a_budget_that_stays_exhausted_ends_it_silently() -> None:
    asking = Asking()
    held = asking.gate.hold(tenant(name="other"))
    asking.resume()
    assert isinstance(asking.costs.action, AwaitPermit)
    asking.clock.now_s += TURN_S_MAX - 0.1
    assert not asking.costs.is_due(asking.clock.now_s)
    asking.clock.now_s += 0.1
    assert asking.costs.is_due(asking.clock.now_s)
    asking.costs.due()
    held.release()
    asking.check_over()


def test_a_budget_may_be_waited_for() -> None:
    asking = Asking()
    held = asking.gate.hold(tenant(name="other"))
    asking.resume()
    held.release()
    asking.costs.wait_ended()
    asking.reply(200, ENDED)
    assert asking.job.stream.execution_s == 1.5


def pause(_asking: Asking) -> None:
    """Stay in the first pause."""


def ask(asking: Asking) -> None:
    asking.resume()


def receive(asking: Asking) -> None:
    asking.resume()
    asking.costs.head(200, None)
    asking.costs.piece(LARGE)


def give_up(asking: Asking) -> None:
    asking.clock.now_s += TOTAL_S_MAX
    asking.costs.due()


def stop(asking: Asking) -> None:
    asking.costs.stop()


@pytest.mark.parametrize("begin", [pause, ask, receive])
@pytest.mark.parametrize("end", [give_up, stop])
def test_nothing_is_held_after_it_was_given_up(begin: Callable[[Asking], None], end: Callable[[Asking], Any]) -> None:
    asking = Asking()
    begin(asking)
    end(asking)
    asking.check_over()


def test_all_questions_together_have_their_time() -> None:
    asking = Asking()
    asking.resume()
    asking.clock.now_s += TOTAL_S_MAX - 0.1
    assert not asking.costs.is_due(asking.clock.now_s)
    asking.costs.due()
    assert isinstance(asking.costs.action, Send)
    assert asking.costs.is_due(asking.clock.now_s + 0.1)
