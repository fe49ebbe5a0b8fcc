"""The driver where what it waits for meets a timeout or the end of the client, in one turn of the loop."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import anyio
import pytest

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.domain import Operation
from gateway.endpoints.actions import AwaitPermit
from gateway.errors import NoTurnError
from gateway.exchange.asyncio_driver import AsyncioDriver
from gateway.exchange.exchange import Exchange
from gateway.exchange.outcomes import Ending
from gateway.upstream.client import OpenAnswer
from gateway.upstream.request import UpstreamRequest
from tests.factories import tenant
from tests.fakes.runpod import FakeRunpod
from tests.machines import World
from tests.subject import EVENTS, event, running


class Client:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.text = b""

    async def send(self, frames: bytes) -> None:
        self.text += frames

    async def finish(self, body: bytes) -> None:
        self.text += body


class Upstream:
    """A client of Runpod whose pieces arrive when the test says so, and are not read before the loop turns."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._pieces: deque[bytes | None] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def arrive(self, *pieces: bytes | None) -> None:
        """Let pieces arrive; None is the end of the body."""
        self._pieces.extend(pieces)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def send(self, request: UpstreamRequest) -> "Upstream":
        self.paths.append(request.path)
        return self

    async def __aenter__(self) -> OpenAnswer:
        return OpenAnswer(status=200, retry_after_s=None, pieces=self._read())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def _read(self) -> AsyncIterator[bytes]:
        while True:
            while not self._pieces:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            piece = self._pieces.popleft()
            if piece is None:
                return
            yield piece


class Drive:
    """One exchange and its driver, whose task runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.upstream = Upstream()
        world.services.upstreams["chat"].client.send = self.upstream.send  # type: ignore[assignment,method-assign]
        self.client = Client()
        self.driver = AsyncioDriver(world.services, world.exchange._resolved, world.exchange.record)
        self.task = asyncio.ensure_future(self.driver.run(self.client))

    @property
    def exchange(self) -> Exchange:
        return self.driver._exchange

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the sweep see it."""
        self.world.clock.now_s += seconds
        self.driver.check(self.world.clock.now_s)

    async def settle(self) -> None:
        await anyio.wait_all_tasks_blocked()

    async def error(self) -> BaseException | None:
        with anyio.fail_after(5):
            await asyncio.wait([self.task])
        return self.task.exception()


async def started(**options: Any) -> Drive:
    drive = Drive(World(**options))
    await drive.settle()
    return drive


def exhausted(gate: Gate) -> list[Permit]:
    """Take all permits that a gate grants at once."""
    taken = []
    while not (permit := gate.request(tenant(name="other"), wait_s_max=1000)).is_waiting:
        taken.append(permit)
    permit.release()
    return taken


async def test_a_first_output_that_arrives_with_the_timeout_is_not_asked_for_again() -> None:
    drive = await started(route="openai", cold_start_timeout_s=5)
    drive.upstream.arrive(EVENTS[1].encode())
    drive.pass_time(5)
    assert await drive.error() is not None
    assert len(drive.upstream.paths) == 1
    assert drive.world.outliving() == 1


async def test_a_last_output_that_arrives_with_the_timeout_is_not_asked_for_again() -> None:
    drive = await started(route="openai", cold_start_timeout_s=5, execution_timeout_s=5)
    drive.upstream.arrive(*[each.encode() for each in EVENTS[:4]])
    await drive.settle()
    drive.upstream.arrive((EVENTS[4] + EVENTS[5]).encode())
    drive.pass_time(5)
    assert await drive.error() is not None
    assert len(drive.upstream.paths) == 1
    assert drive.client.text.count(b"Hello") == 1


@pytest.mark.parametrize(("route", "operation"), [("job", Operation.RUN), ("openai", Operation.OPENAI)])
async def test_a_budget_that_is_granted_as_its_wait_ends_is_given_back(route: str, operation: Operation) -> None:
    world = World(route=route, queue_timeout_s=5)
    gate = world.services.upstreams["chat"].gates.call(operation)
    others = exhausted(gate)
    drive = Drive(world)
    await drive.settle()
    assert isinstance(drive.exchange.action, AwaitPermit)
    drive.pass_time(20)
    for each in others:
        each.release()
    assert isinstance(await drive.error(), NoTurnError)
    assert drive.upstream.paths == []
    assert world.held() == {}


async def test_a_budget_that_is_granted_before_its_wait_ends_is_used() -> None:
    world = World(route="job", queue_timeout_s=5)
    gate = world.services.upstreams["chat"].gates.call(Operation.RUN)
    others = exhausted(gate)
    drive = Drive(world)
    await drive.settle()
    world.clock.now_s += 20
    for each in others:
        each.release()
    drive.driver.check(world.clock.now_s)
    await drive.settle()
    assert drive.upstream.paths == ["/run"]
    drive.driver.end(Ending.CLIENT)
    drive.upstream.arrive(b'{"id":"job-1"}', None)
    assert await drive.error() is None


async def test_a_deadline_during_a_submission_waits_for_the_job_and_cancels_it() -> None:
    for is_left in (False, True):
        drive = await started(route="job", stream=False, deadline_s=3)
        if is_left:
            drive.driver.end(Ending.CLIENT)
            await drive.settle()
        drive.pass_time(3)
        await drive.settle()
        assert not drive.task.done()
        drive.upstream.arrive(b'{"id":"job-1"}', None)
        assert (await drive.error() is None) is is_left
        assert drive.upstream.paths == ["/run"]
        assert drive.world.services.jobs.cancels_pending() == {"chat": 1}
        assert not drive.world.services.upstreams["chat"].abandoned


async def test_a_task_that_is_cancelled_while_the_cost_is_read_leaves_the_job_to_the_canceller() -> None:
    drive = await started(route="job", stream=False)
    answer = b'{"status":"COMPLETED","stream":[{"output":{"choices":[{"index":0,"message":{"content":"Hi"}}]}}]}'
    drive.upstream.arrive(b'{"id":"job-1"}', None)
    await drive.settle()
    drive.upstream.arrive(answer, None, b'{"status":"COMPLETED","stream":[]}', None)
    await drive.settle()
    assert b"Hi" in drive.client.text
    assert drive.upstream.paths[-1].startswith("/status/")
    drive.task.cancel()
    await asyncio.wait([drive.task])
    assert drive.world.held() == {}
    assert drive.world.released == 1


async def test_an_unexpected_exception_of_a_cut_ends_the_exchange() -> None:
    """Found by the sweep before the task: what was interrupted is not carried out again."""
    drive = await started(route="openai")

    close = drive.exchange._sequence.close

    def broken_once(_error: object) -> None:
        drive.exchange._sequence.close = close  # type: ignore[method-assign]
        raise ZeroDivisionError

    drive.exchange._sequence.close = broken_once  # type: ignore[method-assign]
    drive.driver.end(Ending.CLIENT)
    drive.pass_time(0)
    assert isinstance(await drive.error(), ZeroDivisionError)
    assert len(drive.upstream.paths) == 1


async def test_an_unexpected_exception_of_a_timeout_ends_the_exchange() -> None:
    drive = await started(route="openai", cold_start_timeout_s=5)

    def broken() -> None:
        raise ZeroDivisionError

    drive.exchange._attempt.due = broken  # type: ignore[union-attr,method-assign]
    drive.pass_time(5)
    assert isinstance(await drive.error(), ZeroDivisionError)
    assert drive.world.held() == {"work": 1}
    assert drive.world.outliving() == 1


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_the_end_of_an_answer_completes_is_sent_before_its_failure(is_first: bool) -> None:
    unclosed = event(delta={"content": " there"}).rstrip("\n")
    events = [unclosed] if is_first else [*EVENTS[:2], unclosed]
    runpod = FakeRunpod(events=[each.encode() for each in events])
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        call = await subject.post(stream=True)
    assert call.status == 200
    assert b" there" in call.body
    assert "error" in call.events[-1]
