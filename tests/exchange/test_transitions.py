"""Every event in every state: processed as declared, or ignored."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import UnreachableError, UpstreamBusyError
from gateway.exchange.exchange import Exchange
from gateway.exchange.outcomes import Ending
from gateway.exchange.transitions import TRANSITIONS, Event, State
from tests.machines import Runpod, World

EVENTS: dict[Event, Callable[[Exchange], Any]] = {
    Event.START: lambda exchange: exchange.start(),
    Event.WAIT_ENDED: lambda exchange: exchange.wait_ended(),
    Event.HEAD: lambda exchange: exchange.head(200, None),
    Event.PIECE: lambda exchange: exchange.piece(b"{}"),
    Event.ENDED: lambda exchange: exchange.ended(),
    Event.FAILED: lambda exchange: exchange.failed(UnreachableError("ReadError", was_sent=True)),
    Event.WRITTEN: lambda exchange: exchange.written(),
    Event.RESUMED: lambda exchange: exchange.resumed(),
    Event.JOURNAL_ANSWERED: lambda exchange: exchange.journal_answered(was_taken=True),
    Event.DUE: lambda exchange: exchange.due(),
    Event.CUT: lambda exchange: exchange.cut(Ending.CLIENT),
}


def in_state(state: State) -> World:
    """An exchange that has come to this state."""
    match state:
        case State.NEW:
            return World(route="job")
        case State.WAITING:
            world = World(route="job", max_in_flight=1, queue_timeout_s=30)
            first, world.exchange = world.exchange, world.new_exchange()
            first.start()
            world.exchange.start()
        case State.ATTEMPTING:
            world = World(route="job")
            world.exchange.start()
        case State.PAUSING:
            refused = UnreachableError("ConnectError", was_sent=False)
            world = World(Runpod(run=[refused]), route="job")
            world.play(stop_after=2)
        case State.LEAVING:
            world = World(route="job")
            world.exchange.start()
            world.exchange.cut(Ending.CLIENT)
        case State.SETTLING:
            world = World(route="job")
            for step in world.steps():
                step()
                if world.exchange.state is State.SETTLING:
                    break
        case State.OVER:
            world = World(route="openai")
            world.play()
    assert world.exchange.state is state
    return world


def test_every_event_has_a_method() -> None:
    assert set(EVENTS) == set(Event)
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_an_event_leads_to_a_declared_state_or_is_ignored(state: State, event: Event) -> None:
    world = in_state(state)
    exchange = world.exchange
    before, sent = (exchange.state, exchange.action), list(world.runpod.paths)
    EVENTS[event](exchange)
    if event in TRANSITIONS[state]:
        assert exchange.state in TRANSITIONS[state][event]
    else:
        assert (exchange.state, exchange.action) == before
        assert world.runpod.paths == sent
    assert (exchange.action is None) is (exchange.state in {State.NEW, State.OVER})


@pytest.mark.parametrize("state", [state for state in State if state is not State.OVER])
def test_a_broken_exchange_holds_nothing(state: State) -> None:
    world = in_state(state)
    world.exchange.abort()
    assert world.exchange.is_over
    # In the state of waiting, another exchange has the permit.
    others = {"work": 1, "run": 1} if state is State.WAITING else {}
    assert world.held() == (others or ({"work": 1} if world.outliving() else {}))
    world.exchange.abort()
    assert world.released == 1


@pytest.mark.parametrize("by", Ending)
def test_a_pause_between_two_tries_can_be_cut(by: Ending) -> None:
    world = in_state(State.PAUSING)
    world.exchange.cut(by)
    assert world.exchange.is_over
    assert world.held() == {}


def test_a_try_after_a_429_waits_at_the_gate_and_not_in_a_pause() -> None:
    world = World(Runpod(run=[UpstreamBusyError(retry_after_s=0.5)]), route="job", queue_timeout_s=5)
    world.play(stop_after=2)
    assert world.exchange.state is State.ATTEMPTING
