"""What only the driver by callbacks has to do; that it does the same as the other is told by test_drivers_agree.py."""

import asyncio
import gzip
import itertools
from typing import Any

import anyio
import msgspec
import pytest

from gateway.errors import GatewayError, UnreachableError
from gateway.exchange.connection_driver import ConnectionDriver
from gateway.exchange.outcomes import Ending
from gateway.upstream.client import EndpointClient
from gateway.upstream.http.transport import HttpTransport
from tests.exchange.drivers import CalledSink, FakeClient, Player, Script, settle
from tests.fakes.raw_server import read_request
from tests.machines import COMPLETION, Runpod, World
from tests.subject import EVENTS, event
from tests.upstream.http.server import serving

BODY = "".join(EVENTS).encode()


class Drive:
    """One exchange, its driver, and the connection of its call."""

    def __init__(
        self,
        *,
        name: str = "connection",
        stream: bool = True,
        route: str = "openai",
        runpod: Runpod | None = None,
    ) -> None:
        self.world = World(runpod, route=route, stream=stream)
        self.runpod = FakeClient(Player(self.world, Script(route=route, stream=stream)), name)
        self.world.services.upstreams["chat"].client = self.runpod  # type: ignore[assignment]
        self.driver = ConnectionDriver(self.world.services, self.world.exchange._resolved, self.world.exchange.record)
        self.world.exchange = self.driver._exchange
        self.sink = CalledSink(self.world)
        self.task = asyncio.ensure_future(self.driver.run(self.sink))

    async def steps(self, count: int) -> None:
        await settle()
        for _ in range(count):
            self.runpod.step()
            await settle()

    async def error(self) -> BaseException | None:
        with anyio.fail_after(5):
            await asyncio.wait([self.task])
        return None if self.task.cancelled() else self.task.exception()


async def test_runpod_is_not_read_while_the_client_is_slow() -> None:
    drive = Drive()
    await drive.steps(2)
    call: Any = drive.runpod._call
    drive.sink.is_slow = True
    await drive.steps(1)
    assert call.is_paused
    drive.sink.become_ready()
    assert not call.is_paused
    await drive.steps(len(EVENTS) - 2)
    assert await drive.error() is None
    assert drive.world.sent.endswith(b"data: [DONE]\n\n")


async def test_the_end_of_an_answer_waits_for_a_slow_client() -> None:
    """Until then the exchange holds its memory and its seat, and the answer is nowhere else."""
    drive = Drive(stream=False)
    await drive.steps(3)
    drive.sink.is_slow = True
    await drive.steps(1)
    assert (drive.world.sent, drive.task.done()) == (b"", False)
    assert drive.world.held() == {"work": 1}
    drive.sink.become_ready()
    assert await drive.error() is None
    assert (b"Hello" in drive.world.sent, drive.world.held()) == (True, {})


async def test_a_client_that_leaves_while_it_is_slow_ends_the_call() -> None:
    drive = Drive()
    await drive.steps(2)
    drive.sink.is_slow = True
    await drive.steps(1)
    drive.driver.end(Ending.CLIENT)
    assert await drive.error() is None
    call: Any = drive.runpod._call
    drive.sink.become_ready()
    assert call.is_paused


async def test_a_task_that_is_cancelled_waits_for_the_reply_to_a_submission() -> None:
    drive = Drive(route="job")
    await drive.steps(1)
    drive.task.cancel()
    await settle()
    assert not drive.task.done()
    await drive.steps(2)
    await drive.error()
    assert drive.task.cancelled()
    assert drive.world.services.jobs.cancels_pending() == {"chat": 1}


@pytest.mark.parametrize("name", ["connection-dials", "connection-without-callbacks"])
async def test_a_task_that_is_cancelled_while_it_submits_waits_for_nothing(name: str) -> None:
    """The task itself would have received the reply. The job may run, so that its seat is kept."""
    drive = Drive(route="job", name=name)
    await settle()
    drive.task.cancel()
    await settle()
    assert drive.task.cancelled()
    assert (drive.world.held(), drive.world.outliving(), drive.world.released) == ({"work": 1}, 1, 1)


@pytest.mark.parametrize("name", ["connection", "connection-without-callbacks"])
async def test_a_task_that_is_cancelled_leaves_nothing(name: str) -> None:
    drive = Drive(name=name)
    await drive.steps(3)
    drive.task.cancel()
    await drive.error()
    assert drive.task.cancelled()
    assert (drive.world.held(), drive.world.outliving(), drive.world.released) == ({"work": 1}, 1, 1)


@pytest.mark.parametrize(("moment", "stream"), [("head", True), ("piece", True), ("ended", False), ("written", False)])
async def test_an_unexpected_exception_ends_the_exchange_and_is_raised_in_its_task(moment: str, stream: bool) -> None:
    drive = Drive(stream=stream)

    def fail(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError

    await settle()
    setattr(drive.driver._exchange, moment, fail)
    for _ in range(len(EVENTS) + 2):
        if not drive.task.done():
            await drive.steps(1)
    assert isinstance(await drive.error(), ZeroDivisionError)
    assert (drive.world.released, drive.driver._exchange.is_over) == (1, True)
    assert drive.world.held() == ({"work": 1} if drive.world.outliving() else {})


@pytest.mark.parametrize("part", ["close", "release"])
async def test_a_second_exception_does_not_leave_the_task_waiting(part: str) -> None:
    """It is raised when the exchange is ended because of the first one, and neither in a callback."""
    drive = Drive()

    def fail(error: Exception) -> Any:
        def raising(*_: object) -> bytes:
            raise error

        return raising

    await settle()
    exchange: Any = drive.driver._exchange
    exchange.piece = fail(KeyError("first"))
    setattr(exchange._sequence, part, fail(ZeroDivisionError()))
    await drive.steps(2)
    error = await drive.error()
    assert isinstance(error, ZeroDivisionError)
    assert isinstance(error.__context__, KeyError)


async def test_no_keepalive_data_follows_a_timeout() -> None:
    """It would send the head with status 200, before the error is raised that has a status of its own."""
    drive = Drive()
    checked: list[bool] = []
    drive.sink.check = lambda _now_s: checked.append(drive.driver._exchange.is_over)  # type: ignore[method-assign]
    await settle()
    drive.driver.check(drive.world.clock.now_s)
    drive.world.clock.now_s += 100_000
    drive.driver.check(drive.world.clock.now_s)
    assert isinstance(await drive.error(), GatewayError)
    assert checked == [False]


async def test_many_parts_that_are_there_at_once_let_others_run_between_them() -> None:
    output = event(delta={"content": "x" * 20_000})
    page = msgspec.json.encode({"status": "IN_PROGRESS", "stream": [{"output": output}] * 20})
    drive = Drive(route="job", runpod=Runpod(stream=[(200, [page])]))
    await drive.steps(3)
    turns: list[int] = []
    for _ in range(3):
        drive.runpod.step()
    for _ in range(12):
        turns.append(len(drive.world.sent))
        await asyncio.sleep(0)
    assert len(set(turns)) > 4
    assert max(b - a for a, b in itertools.pairwise(turns)) < 200_000
    drive.driver.end(Ending.CLIENT)
    await drive.error()


@pytest.mark.server
class TestOnTheWire:
    @pytest.mark.parametrize("is_damaged", [False, True])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_compressed_response_is_read_although_nothing_asked_for_it(
        self, stream: bool, is_damaged: bool
    ) -> None:
        packed = gzip.compress(BODY if stream else COMPLETION)
        packed = packed[:-9] if is_damaged else packed

        async def handle(reader: Any, writer: Any) -> None:
            while True:
                await read_request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed))
                for start in range(0, len(packed), 50):
                    writer.write(packed[start : start + 50])
                    await asyncio.sleep(0)

        async with serving(handle) as server:
            world, error = await self.driven(server.url, stream=stream)
        if is_damaged:
            assert isinstance(error, UnreachableError) or "lost" in str(error)
            assert not world.is_finished
        else:
            assert error is None
            assert b"Hello" in world.sent
            assert world.sent.endswith(b"data: [DONE]\n\n") is stream
        assert world.held() == ({"work": 1} if world.outliving() else {})

    async def test_a_free_connection_is_used_again(self) -> None:
        async def handle(reader: Any, writer: Any) -> None:
            while True:
                await read_request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(COMPLETION), COMPLETION))

        async with serving(handle) as server:
            transport = HttpTransport()
            for _ in range(3):
                _, error = await self.driven(server.url, stream=False, transport=transport)
                assert error is None
            assert server.connections == 1
            await transport.aclose()

    async def test_a_refused_connection_is_an_error(self) -> None:
        _, error = await self.driven("http://127.0.0.1:1", stream=True)
        assert isinstance(error, UnreachableError)
        assert not error.was_sent

    async def driven(
        self, url: str, *, stream: bool, transport: HttpTransport | None = None
    ) -> tuple[World, BaseException | None]:
        world = World(route="openai", stream=stream)
        upstream = world.services.upstreams["chat"]
        own = transport or HttpTransport()
        endpoint = msgspec.structs.replace(upstream.endpoint, base_url=url)
        upstream.client = EndpointClient(endpoint, own, upstream.client.answers)
        driver = ConnectionDriver(world.services, world.exchange._resolved, world.exchange.record)
        sink = CalledSink(world)
        try:
            with anyio.fail_after(20):
                await driver.run(sink)
        except Exception as error:
            return world, error
        finally:
            if transport is None:
                await own.aclose()
        return world, None
