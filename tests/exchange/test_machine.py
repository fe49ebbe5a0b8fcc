"""The whole of an exchange, decided without an event loop."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.endpoints.actions import AwaitPermit, Send
from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    GatewayError,
    NoTurnError,
    NoWorkerError,
    TenantLimitError,
    UnreachableError,
    UpstreamTimeoutError,
)
from gateway.events import Admitted, FirstChunk, JobEnded, Outcome, Settled, UpstreamCalled
from gateway.exchange.outcomes import Ending
from gateway.exchange.transitions import TRANSITIONS, State
from tests.effort import tries
from tests.exchange.test_transitions import EVENTS
from tests.machines import COMPLETION, LOST, Runpod, World

ROUTES = pytest.mark.parametrize("route", ["job", "openai"])
STREAMS = pytest.mark.parametrize("stream", [True, False])


def outcomes(world: World) -> list[Outcome]:
    return [event.outcome for event in world.observed if isinstance(event, Settled)]


@ROUTES
@STREAMS
def test_an_answer_reaches_the_client_and_nothing_is_held(route: str, stream: bool) -> None:
    world = World(route=route, stream=stream)
    world.play()
    assert b"Hello" in world.sent
    assert world.sent.endswith(b"data: [DONE]\n\n") is stream
    assert (world.is_finished, world.released, world.held(), world.outliving()) == (True, 1, {}, 0)
    seen = Counter(type(event) for event in world.observed)
    assert (seen[Admitted], seen[FirstChunk], seen[Settled]) == (1, 1, 1)
    assert seen[JobEnded] == (route == "job")
    assert seen[UpstreamCalled] == len(world.runpod.paths)
    assert outcomes(world) == [Outcome.COMPLETED]


@ROUTES
@STREAMS
@pytest.mark.parametrize("by", Ending)
def test_it_can_be_cut_after_every_event(route: str, stream: bool, by: Ending) -> None:
    events = World(route=route, stream=stream).play()
    for count in range(events):
        world = World(route=route, stream=stream, deadline_s=60)
        world.play(stop_after=count)
        was_settling = world.exchange.state in {State.SETTLING, State.OVER}
        world.exchange.cut(by)
        world.play()
        error = world.exchange.take_error()
        expected = {Ending.CLIENT: type(None), Ending.PROCESS: DrainingError, Ending.DEADLINE: ClientDeadlineError}[by]
        assert isinstance(error, type(None) if was_settling else expected), count
        assert (world.exchange.is_over, world.released, len(outcomes(world))) == (True, 1, 1)
        # What may run on keeps its seat, and nothing else is held.
        assert world.held() == ({"work": 1} if world.outliving() else {}), count


@ROUTES
@STREAMS
def test_a_connection_can_break_after_every_event(route: str, stream: bool) -> None:
    events = World(route=route, stream=stream).play()
    for count in range(1, events):
        world = World(route=route, stream=stream)
        world.play(stop_after=count)
        if isinstance(world.exchange.action, Send):
            world.exchange.failed(UnreachableError("ReadError", was_sent=True))
        world.play()
        assert (world.exchange.is_over, world.released, len(outcomes(world))) == (True, 1, 1)
        assert world.held() == ({"work": 1} if world.outliving() else {}), count


def test_a_tenant_without_tokens_is_refused_before_it_waits() -> None:
    world = World(route="job", tokens_per_minute=10)
    world.quota.reserve(10, world.clock.now_s)
    world.play()
    assert isinstance(world.exchange.take_error(), TenantLimitError)
    assert (world.runpod.paths, world.held(), outcomes(world)) == ([], {}, [Outcome.REFUSED])


def test_what_the_end_of_the_output_completes_is_sent_before_the_end_of_the_answer() -> None:
    text = json.dumps({"status": "COMPLETED", "stream": [{"output": COMPLETION.decode()}]}).encode()
    world = World(Runpod(stream=[(200, [text]), (200, [b'{"status":"COMPLETED","stream":[]}'])]), route="job")
    world.play()
    assert b"Hello" in world.sent
    assert world.sent.endswith(b"data: [DONE]\n\n")
    assert outcomes(world) == [Outcome.COMPLETED]


class TestSubmission:
    def test_one_whose_client_left_is_waited_for_and_its_job_cancelled(self) -> None:
        world = World(route="job")
        world.exchange.start()
        assert isinstance(world.exchange.action, Send)
        assert world.exchange.action.is_shielded
        world.exchange.cut(Ending.CLIENT)
        assert world.exchange.state is State.LEAVING
        world.play()
        assert world.runpod.paths == ["run"]
        assert outcomes(world) == [Outcome.CLIENT_LEFT]
        assert world.services.jobs.cancels_pending() == {"chat": 1}

    def test_one_that_is_not_answered_is_given_up(self) -> None:
        world = World(route="job")
        world.exchange.start()
        world.clock.now_s += 44
        assert not world.exchange.is_due(world.clock.now_s)
        world.clock.now_s += 1
        assert world.exchange.is_due(world.clock.now_s)
        world.exchange.due()
        assert isinstance(world.exchange.take_error(), UnreachableError)
        assert (world.outliving(), world.held()) == (1, {"work": 1})

    def test_one_that_is_aborted_keeps_its_seat(self) -> None:
        """Its driver broke: nothing will tell the id of the job, which may run."""
        world = World(route="job")
        world.exchange.start()
        world.exchange.abort()
        assert outcomes(world) == [Outcome.BROKEN]
        assert (world.outliving(), world.held()) == (1, {"work": 1})


class TestTimeouts:
    def test_the_wait_for_a_permit_ends(self) -> None:
        world = World(route="job", max_in_flight=1, queue_timeout_s=3)
        upstream = world.services.upstreams["chat"]
        # A worker was just seen at work: otherwise the wait would last for as long as a cold start.
        upstream.workers.evidence_at_s = world.clock.now_s
        first, world.exchange = world.exchange, world.new_exchange()
        first.start()
        world.exchange.start()
        assert isinstance(world.exchange.action, AwaitPermit)
        world.clock.now_s += 2.5
        assert not world.exchange.is_due(world.clock.now_s)
        world.clock.now_s += 0.5
        assert world.exchange.is_due(world.clock.now_s)
        world.exchange.due()
        assert world.exchange.is_over
        assert world.exchange.take_error() is not None
        assert upstream.gates.work.waiting == {}

    @pytest.mark.parametrize("has_begun", [False, True])
    def test_a_relayed_answer_has_its_time(self, has_begun: bool) -> None:
        world = World(route="openai", cold_start_timeout_s=5, execution_timeout_s=9)
        world.exchange.start()
        if has_begun:
            world.exchange.head(200, None)
            world.exchange.piece(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
        world.clock.now_s += 8.5 if has_begun else 4.5
        assert not world.exchange.is_due(world.clock.now_s)
        world.clock.now_s += 0.5
        assert world.exchange.is_due(world.clock.now_s)
        world.exchange.due()
        error = world.exchange.take_error()
        assert isinstance(error, UpstreamTimeoutError if has_begun else NoWorkerError)
        # Its job may run on.
        assert (world.outliving(), world.held()) == (1, {"work": 1})

    def test_the_deadline_of_the_client_ends_the_exchange(self) -> None:
        world = World(route="openai", stream=False, deadline_s=7)
        world.exchange.start()
        world.clock.now_s += 7
        assert world.exchange.is_due(world.clock.now_s)
        world.exchange.due()
        assert isinstance(world.exchange.take_error(), ClientDeadlineError)


class TestFailover:
    def test_a_refused_connection_is_tried_again_after_a_pause(self) -> None:
        refused = UnreachableError("ConnectError", was_sent=False)
        world = World(Runpod(openai=[refused, refused]), route="openai")
        world.play()
        assert world.runpod.paths == ["openai"] * 3
        assert outcomes(world) == [Outcome.COMPLETED]

    def test_a_lost_answer_is_not(self) -> None:
        world = World(Runpod(openai=[LOST]), route="openai")
        world.play()
        assert world.runpod.paths == ["openai"]
        assert isinstance(world.exchange.take_error(), UnreachableError)

    def test_a_permit_that_cannot_come_in_time_is_refused_at_once(self) -> None:
        world = World(route="job", queue_timeout_s=1)
        upstream = world.services.upstreams["chat"]
        upstream.workers.evidence_at_s = world.clock.now_s
        held = upstream.gates.work.hold(world.exchange._resolved.tenant)
        upstream.gates.work.refused_upstream(held, retry_after_s=30)
        world.exchange.start()
        error = world.exchange.take_error()
        assert isinstance(error, GatewayError)
        assert isinstance(error, NoTurnError | NoWorkerError)
        held.release()
        assert world.held() == {}


@settings(max_examples=tries(300), deadline=None)
@given(
    route=st.sampled_from(["job", "openai"]),
    stream=st.booleans(),
    script=st.lists(st.one_of(st.just("next"), st.sampled_from(list(EVENTS))), max_size=40),
    passing_s=st.lists(st.sampled_from([0.0, 0.1, 3.0, 600.0]), min_size=40, max_size=40),
)
def test_any_events_in_any_order_leave_nothing_behind(
    route: str, stream: bool, script: list[Any], passing_s: list[float]
) -> None:
    world = World(route=route, stream=stream, deadline_s=None if stream else 900)
    exchange = world.exchange
    for event, seconds in zip(script, passing_s, strict=False):
        world.clock.now_s += seconds
        before = exchange.state
        if event == "next":
            world.play(stop_after=1)
        else:
            EVENTS[event](exchange)
            allowed = TRANSITIONS[before].get(event)
            assert exchange.state in (allowed or {before})
        if exchange.is_over:
            break
    exchange.cut(Ending.CLIENT)
    world.play()
    assert (exchange.is_over, world.released, len(outcomes(world))) == (True, 1, 1)
    assert set(world.held()) <= {"work"}
    assert sum(world.held().values()) <= world.outliving()
