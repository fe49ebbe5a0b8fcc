"""Drive exchanges by callbacks of two connections, the client's and Runpod's: a piece of an answer needs no task.

The task of a request waits meanwhile. It does what callbacks cannot: open a connection, ask the journal, and read a
response that is compressed or whose transport has no callbacks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.errors import UnreachableError
from gateway.exchange.actions import Action, AskJournal, Finish, Write
from gateway.exchange.driver import ExchangeDriver
from gateway.exchange.open_call import OpenCall
from gateway.exchange.outcomes import Ending
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.sink import CallbackSink
from gateway.exchange.transitions import State

TURN_BYTES = 64 * 1024
"""Bytes of an answer that are passed on before other tasks run, if they are available at once."""


class ConnectionDriver(ExchangeDriver):
    """Drive one exchange by callbacks."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        super().__init__(services, resolved, record)
        self._loop = asyncio.get_running_loop()
        self._sink: CallbackSink
        self._is_running = False
        self._action: Action | None = None
        """Action that is being carried out."""
        self._call: OpenCall | None = None
        """Call to Runpod whose response is awaited."""
        self._timer: asyncio.Handle | None = None
        self._errand: Callable[[], Awaitable[None]] | None = None
        """Work that waits for the task."""
        self._scope: anyio.CancelScope | None = None
        """Scope of the work that the task does."""
        self._waker: asyncio.Future[None] | None = None
        self._turn_bytes = 0

    async def run(self, sink: CallbackSink) -> None:
        """Serve the request to its end; return normally if the client disconnects.

        Raises:
            GatewayError: The request failed; the caller has to send the error response, or the event in the stream.
        """
        exchange, self._sink = self._exchange, sink
        sink.on_ready = self._client_ready
        self._is_running = True
        try:
            self.process(exchange.start)
            await self._until_over()
            if self._failure is not None:
                self._raise_error()
        except anyio.get_cancelled_exc_class():
            self.process(partial(exchange.cut, Ending.CLIENT))
            if exchange.state is State.LEAVING:
                if self._scope is not None and self._call is not None:
                    # The task was cancelled in its work for the call, of which nothing else would be reported.
                    self._call.failed(UnreachableError("interrupted", was_sent=True))
                with anyio.CancelScope(shield=True):
                    await self._until_over()
            raise
        finally:
            self._is_running = False
            sink.on_ready = None
            try:
                exchange.abort()
            finally:
                self._stop()
                # It holds this driver, whose empty chunks it sends.
                del self._sink
                self.on_over(self)
        self._raise_error()

    def end(self, by: Ending) -> None:
        """End the exchange at once, unless its answer is complete."""
        if self.may_be_cut:
            self.has_ended = True
            self.process(partial(self._exchange.cut, by))

    def check(self, now_s: float) -> None:
        """Process a timeout that is over, and send keep-alive data that is due."""
        if self._is_running and self._exchange.is_due(now_s):
            self.process(self._exchange.due)
        if self._is_running and not self._exchange.is_over:
            # Otherwise the head would be sent before an error that is about to be raised.
            self._sink.check(now_s)

    async def _until_over(self) -> None:
        """Wait until the exchange is over or broke, and do the work that callbacks cannot do."""
        while not self._exchange.is_over and self._failure is None:
            errand, self._errand = self._errand, None
            if errand is None:
                self._waker = self._loop.create_future()
                await self._waker
                continue
            is_shielded = isinstance(self._action, Send) and self._action.is_shielded
            with anyio.CancelScope(shield=is_shielded) as self._scope:
                await errand()
            self._scope = None

    def _wake(self) -> None:
        waker, self._waker = self._waker, None
        if waker is not None and not waker.done():
            waker.set_result(None)

    def process(self, event: Callable[[], object]) -> None:
        """Let the exchange process an event, and carry out what follows from it."""
        try:
            event()
            if self._exchange.action is not self._action:
                self.go_on()
        except Exception as error:  # noqa: BLE001 - raised in the exchange's own task.
            self.broke(error)

    def broke(self, error: Exception) -> None:
        """Stop after an unexpected exception: the task raises it, and ends the exchange, which may raise another."""
        self._failure = self._failure or error
        self._is_running = False
        self._stop()
        self._wake()

    def go_on(self) -> None:
        """Carry out actions until one of them waits for something."""
        exchange = self._exchange
        while self._is_running and exchange.action is not self._action:
            self._stop()
            action = self._action = exchange.action
            match action:
                case None:
                    self._wake()
                case Send():
                    self._send(action)
                case Write() | Finish():
                    self._write(action)
                case AwaitPermit():
                    # Later, because the gate calls back while it works on other permits.
                    later = partial(self._loop.call_soon, self._report, action, exchange.wait_ended)
                    action.permit.subscribe(later) if action.permit.is_waiting else later()
                case Pause():
                    wait_s = max(0.0, action.until_s - self._clock.monotonic_s())
                    self._timer = self._loop.call_later(wait_s, self._report, action, exchange.resumed)
                case AskJournal():
                    self.do_in_task(partial(self._ask_journal, action))

    def _stop(self) -> None:
        """Stop carrying out the current action."""
        self._action = self._errand = None
        call, self._call = self._call, None
        if call is not None:
            call.leave()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._scope is not None:
            self._scope.cancel()

    def _report(self, action: Action, event: Callable[[], object]) -> None:
        """Report what happened, unless the action was replaced meanwhile."""
        if self._exchange.action is action:
            self.process(event)

    def do_in_task(self, errand: Callable[[], Awaitable[None]]) -> None:
        """Let the task of the request do something, unless the action is replaced meanwhile."""
        self._errand = errand
        self._wake()

    def _write(self, action: Write | Finish) -> None:
        """Send data to the client, and report it; if the client is slow, when it is ready."""
        if isinstance(action, Write):
            if self._sink.is_slow:
                return
            if action.data:
                self._sink.send(action.data)
        elif not self._sink.finish(action.data):
            return
        self._written(action)

    def _written(self, action: Write | Finish) -> None:
        self._turn_bytes += len(action.data)
        if action.data and self._turn_bytes < TURN_BYTES:
            self._exchange.written()
        else:
            self._turn_bytes = 0
            self._timer = self._loop.call_soon(self._report, action, self._exchange.written)

    def _client_ready(self) -> None:
        """Go on after the client has caught up."""
        action = self._action
        try:
            if self._call is not None:
                self._call.resume()
            elif self._timer is not None:
                return
            elif isinstance(action, Write):
                self._write(action)
            elif isinstance(action, Finish) and self._sink.finish_rest():
                self._written(action)
            self.go_on()
        except Exception as error:  # noqa: BLE001 - raised in the exchange's own task.
            self.broke(error)

    def _send(self, action: Send) -> None:
        call = self._call = OpenCall(self, self._exchange, self._sink)
        if not action.client.has_callbacks:
            self.do_in_task(partial(self._send_in_task, action, call))
        elif not call.is_sent_on(action.client.open(action.request, call)):
            self.do_in_task(partial(self._connect, action, call))

    async def _connect(self, action: Send, call: OpenCall) -> None:
        """Send a request on a new connection."""
        try:
            call.is_sent_on(await action.client.connect(action.request, call))
        except UnreachableError as error:
            call.failed(error)

    async def _send_in_task(self, action: Send, call: OpenCall) -> None:
        """Send a request on a transport without callbacks."""
        try:
            async with action.client.send(action.request) as answer:
                call.head(answer.status, answer.retry_after_s)
                await call.read(answer.pieces)
        except UnreachableError as error:
            call.failed(error)
        else:
            call.response_ended()

    async def _ask_journal(self, action: AskJournal) -> None:
        was_taken = await self._jobs.was_taken(action.job)
        self._report(action, partial(self._exchange.journal_answered, was_taken=was_taken))
