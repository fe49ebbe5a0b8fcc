"""Plays one script to the bare machine and to each driver: what Runpod answers, how sliced, and what happens between.

A step is one event of Runpod's (a head, a piece, an end, a failure) or the end of a pause. What happens at a step
happens before it, when nothing else can go on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import httpx
import msgspec

from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.errors import GatewayError, UnreachableError
from gateway.exchange.asyncio_driver import AsyncioDriver
from gateway.exchange.connection_driver import ConnectionDriver
from gateway.exchange.outcomes import Ending
from gateway.upstream.client import OpenAnswer
from gateway.upstream.request import UpstreamRequest
from tests.machines import Reply, Runpod, World

STEPS_MAX = 600
DRIVERS = ("machine", "asyncio", "connection", "connection-dials", "connection-without-callbacks")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that happens to one exchange."""

    route: str
    stream: bool
    planned: dict[str, list[Reply | GatewayError]] = {}
    slice_bytes: int = 1_000_000
    happens: dict[int, str | float] = {}
    """By step: "left", "process", "lost", "slow", or seconds that pass."""


class Played(msgspec.Struct, kw_only=True):
    """What came of it."""

    sent: bytes
    paths: list[str]
    observed: list[str]
    error: str
    held: dict[str, int]
    outliving: int
    released: int


def play(script: Script, driver: str) -> Played:
    """Play a script to the machine, or to a driver on a loop of its own."""
    world = World(
        Runpod(**{name: list(replies) for name, replies in script.planned.items()}),
        route=script.route,
        stream=script.stream,
    )
    player = Player(world, script)
    if driver == "machine":
        error = player.play_machine()
    else:
        from tests.virtual_time import VirtualTimeLoop

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            error = runner.run(player.play_driver(driver))
    return Played(
        sent=world.sent,
        paths=world.runpod.paths,
        observed=[repr(each) for each in world.observed],
        error="" if error is None else f"{type(error).__name__}: {error}",
        held=world.held(),
        outliving=world.outliving(),
        released=world.released,
    )


class Player:
    """Plays one script."""

    def __init__(self, world: World, script: Script) -> None:
        self.world = world
        self.script = script
        self.steps = 0

    def events_of(self, request: UpstreamRequest) -> list[Any]:
        """What Runpod answers: the status, the slices of the body, None for the end; or an error."""
        reply = self.world.runpod.reply(request)
        if isinstance(reply, GatewayError):
            return [reply]
        status, pieces = reply
        body, size = b"".join(pieces), self.script.slice_bytes
        edges = [*range(0, len(body), size), len(body)]
        slices = [piece for piece in pieces if piece] if size > 500_000 else [body[a:b] for a, b in pairwise(edges)]
        return [status, *slices, None]

    def play_machine(self) -> Exception | None:
        """Without a driver: what the client is sent arrives at once."""
        world, exchange = self.world, self.world.exchange
        exchange.start()
        call: Send | None = None
        events: list[Any] = []
        while not exchange.is_over:
            action = exchange.action
            if not self._is_at_rest(action):
                (event,) = world.answers(action)
                event()
                continue
            if isinstance(action, Send) and call is not action:
                call, events = action, self.events_of(action.request)
            if self._happen(exchange.cut, exchange.is_due, exchange.due, is_call=isinstance(action, Send)):
                events = [UnreachableError("ReadError", was_sent=True)]
            if exchange.is_due(world.clock.now_s):
                exchange.due()
            if exchange.action is not action:
                continue
            if isinstance(action, Pause):
                world.clock.now_s = max(world.clock.now_s, action.until_s)
                exchange.resumed()
                continue
            if isinstance(action, AwaitPermit):
                self._pass_a_second()
                if not action.permit.is_waiting:
                    exchange.wait_ended()
                elif exchange.is_due(world.clock.now_s):
                    exchange.due()
                continue
            event_ = events.pop(0)
            match event_:
                case GatewayError():
                    exchange.failed(event_)
                case None:
                    exchange.ended()
                case int():
                    exchange.head(event_, None)
                case _:
                    world._receive(exchange.piece(event_))
        return exchange.take_error()

    def _is_at_rest(self, action: Any) -> bool:
        match action:
            case Pause():
                return bool(action.until_s > self.world.clock.now_s)
            case AwaitPermit():
                return bool(action.permit.is_waiting)
            case _:
                return isinstance(action, Send)

    def _pass_a_second(self) -> None:
        """Let time pass for those who wait for a permit."""
        self.world.clock.now_s += 1.0
        for upstream in self.world.services.upstreams.values():
            for gate in (upstream.gates.work, *upstream.gates.calls.values()):
                gate.pump()

    def _happen(self, cut: Callable[[Ending], None], is_due: Any, due: Any, *, is_call: bool) -> bool:
        """Let happen what the script has for this step; return True if the connection is lost."""
        self.steps += 1
        assert self.steps < STEPS_MAX
        match self.script.happens.get(self.steps):
            case "left":
                cut(Ending.CLIENT)
            case "process":
                cut(Ending.PROCESS)
            case "lost":
                return is_call
            case float(seconds):
                self.world.clock.now_s += seconds
                if is_due(self.world.clock.now_s):
                    due()
        return False

    async def play_driver(self, name: str) -> Exception | None:
        """With a driver, whose tasks rest at each step."""
        world = self.world
        runpod = FakeClient(self, name)
        world.services.upstreams["chat"].client = runpod  # type: ignore[assignment]
        kind: Any = AsyncioDriver if name == "asyncio" else ConnectionDriver
        driver = kind(world.services, world.exchange._resolved, world.exchange.record)
        sink: Any = AwaitedSink(world) if name == "asyncio" else CalledSink(world)
        exchange = world.exchange = driver._exchange
        task = asyncio.ensure_future(driver.run(sink))
        await settle()
        while not task.done():
            action = exchange.action
            before = self.steps + 1
            is_slow = self.script.happens.get(before) == "slow"
            is_lost = self._happen(
                driver.end,
                lambda _now_s: True,
                lambda: driver.check(world.clock.now_s),
                is_call=isinstance(action, Send),
            )
            # As the sweep does within 50 ms.
            driver.check(world.clock.now_s)
            await settle()
            if is_lost:
                runpod.lose()
            if exchange.action is not action and not is_lost:
                continue
            sink.is_slow = is_slow
            if isinstance(action, Pause):
                world.clock.now_s = max(world.clock.now_s, action.until_s)
                await asyncio.sleep(60)
            elif isinstance(action, AwaitPermit):
                self._pass_a_second()
                driver.check(world.clock.now_s)
            elif isinstance(action, Send):
                runpod.step()
            await settle()
            if is_slow:
                sink.become_ready()
                await settle()
        return task.exception()


async def settle() -> None:
    """Let all that can go on do so."""
    for _ in range(8):
        await asyncio.sleep(0)


class CalledSink:
    """A client that is sent data by calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_slow = False
        self.on_ready: Callable[[], None] | None = None
        self._unsent = b""

    def send(self, frames: bytes) -> bool:
        assert frames
        self._world._receive(frames)
        return not self.is_slow

    def finish(self, body: bytes) -> bool:
        assert not self._unsent
        self._unsent = body
        return self.finish_rest()

    def finish_rest(self) -> bool:
        if self.is_slow:
            return False
        self._world._receive(self._unsent)
        self._unsent = b""
        return True

    def check(self, _now_s: float) -> None: ...

    def become_ready(self) -> None:
        self.is_slow = False
        if self.on_ready is not None:
            self.on_ready()


class AwaitedSink:
    """A client for which a task waits."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_slow = False
        self._ready = asyncio.Event()

    async def send(self, frames: bytes) -> None:
        while self.is_slow:
            await self._ready.wait()
        self._world._receive(frames)

    finish = send

    def become_ready(self) -> None:
        self.is_slow = False
        self._ready.set()
        self._ready = asyncio.Event()


class FakeClient:
    """An endpoint's client, whose calls are answered step by step."""

    def __init__(self, player: Player, name: str) -> None:
        self._player = player
        self.has_callbacks = name != "connection-without-callbacks"
        self._is_free = name == "connection"
        self.answers = player.world.services.upstreams["chat"].client.answers
        self._call: FakeCall | None = None
        self._events: list[Any] = []

    def step(self) -> None:
        assert self._call is not None
        self._call.step()

    def lose(self) -> None:
        if self._call is not None:
            self._call.events = [UnreachableError("ReadError", was_sent=True)]

    def send(self, request: UpstreamRequest) -> "FakeCall":
        self._call = FakeCall(self._player.events_of(request), None)
        return self._call

    def open(self, request: UpstreamRequest, listener: Any) -> "FakeCall | None":
        self._events = events = self._player.events_of(request)
        is_refused = isinstance(events[0], UnreachableError) and not events[0].was_sent
        if is_refused or not self._is_free:
            return None
        self._call = FakeCall(events, listener)
        return self._call

    async def connect(self, _request: UpstreamRequest, listener: Any) -> "FakeCall":
        call = self._call = FakeCall(self._events, None)
        await call.opened()
        call.listener = listener
        if call.was_head_taken:
            listener.head_received(call)
        return call


class FakeCall:
    """One call: as a connection with a listener, and as a context that a task enters."""

    def __init__(self, events: list[Any], listener: Any) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.events = events
        self.listener = listener
        self.status = 0
        self.is_paused = False
        self.was_head_taken = False
        self._arrived: list[Any] = []
        self._arrival = asyncio.Event()

    def step(self) -> None:
        """Let the next event arrive."""
        assert not self.is_paused
        event = self.events.pop(0)
        if self.listener is None:
            self._arrived.append(event)
            self._arrival.set()
            return
        match event:
            case GatewayError():
                self._leave(httpx.ReadError("lost"))
            case None:
                listener, self.listener = self.listener, Deaf()
                listener.response_ended()
            case int():
                self.status = event
                self.listener.head_received(self)
            case _:
                self.listener.piece_received(event)

    def _leave(self, error: Exception) -> None:
        listener, self.listener = self.listener, Deaf()
        listener.response_failed(error)

    def leave(self, listener: Any) -> None:
        if self.listener is listener:
            self.listener = Deaf()

    def pause(self, listener: Any) -> None:
        if self.listener is listener:
            self.is_paused = True

    def resume(self, listener: Any) -> None:
        if self.listener is listener:
            self.is_paused = False

    async def opened(self) -> None:
        """Wait for the head, as nothing tells a connection that is being opened from one that is."""
        event = await self._next()
        if isinstance(event, GatewayError):
            raise event
        self.status, self.was_head_taken = event, True

    async def __aenter__(self) -> OpenAnswer:
        await self.opened()
        return OpenAnswer(status=self.status, retry_after_s=None, pieces=self._read())

    async def __aexit__(self, *_error: object) -> None:
        self.listener = Deaf()

    async def _read(self) -> AsyncIterator[bytes]:
        while (event := await self._next()) is not None:
            if isinstance(event, GatewayError):
                raise event
            yield event

    async def _next(self) -> Any:
        while not self._arrived:
            self._arrival.clear()
            await self._arrival.wait()
        return self._arrived.pop(0)


class Deaf:
    """Listens to nothing more."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None
