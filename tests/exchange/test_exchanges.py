from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from gateway.errors import BodiesFullError, DrainingError, GatewayError, InvalidKeyError
from gateway.exchange.events import Event, Outcome, Settled
from gateway.exchange.exchange import Ending
from tests.fakes.runpod import FakeRunpod
from tests.subject import EVENTS, answering, running


async def test_an_idle_process_drains_at_once() -> None:
    async with running(FakeRunpod()) as subject:
        with anyio.fail_after(0.5):
            await subject.gateway.exchanges.drain(30)
        assert subject.gateway.exchanges.is_draining


async def test_a_drain_waits_for_what_runs() -> None:
    pages = [*[("IN_PROGRESS", [each]) for each in EVENTS[:-1]], ("IN_PROGRESS", []), ("COMPLETED", [EVENTS[-1]])]
    async with running(FakeRunpod(pages=pages)) as subject:
        call = subject.call(stream=True)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call.run, subject.gateway.app)
                while not subject.gateway.exchanges.count:
                    await anyio.lowlevel.checkpoint()
                await subject.gateway.exchanges.drain(5)
                assert subject.gateway.exchanges.count == 0
        assert call.events[-1] == "[DONE]"


async def test_exchanges_are_counted_while_they_run() -> None:
    async with running(answering()) as subject:
        call = subject.call(stream=True)
        counts: list[int] = []
        call.on_send = lambda: counts.append(subject.gateway.exchanges.count)
        await call.run(subject.gateway.app)
        assert set(counts) == {1}
        assert subject.gateway.exchanges.count == 0


async def test_a_cut_in_the_moment_of_the_last_byte_ends_nothing() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS)])
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod) as subject:
        seen: list[Event] = []
        exchanges = subject.gateway.exchanges
        exchanges._means = msgspec.structs.replace(exchanges._means, observe=seen.append)
        call = subject.call(stream=True)

        async def send(message: dict[str, Any]) -> None:
            call.messages.append(message)
            if message.get("more_body") is False:
                for exchange in exchanges._live:
                    exchange.end(Ending.PROCESS)

        call.send = send  # type: ignore[method-assign]
        with anyio.fail_after(5):
            await call.run(subject.gateway.app)
            await exchanges._means.jobs.flush()
    assert call.events[-1] == "[DONE]"
    assert [event.outcome for event in seen if isinstance(event, Settled)] == [Outcome.COMPLETED]
    assert runpod.running == {}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidKeyError(), Outcome.REJECTED),
        (BodiesFullError(retry_after_s=1), Outcome.REFUSED),
        (DrainingError(retry_after_s=1), Outcome.CUT),
    ],
)
async def test_a_request_that_became_no_exchange_is_counted_as_it_is(error: GatewayError, outcome: Outcome) -> None:
    async with running(FakeRunpod()) as subject:
        seen: list[Event] = []
        exchanges = subject.gateway.exchanges
        exchanges._means = msgspec.structs.replace(exchanges._means, observe=seen.append)
        exchanges.settle_early(exchanges.record("r"), error)
    assert [event.outcome for event in seen if isinstance(event, Settled)] == [outcome]
