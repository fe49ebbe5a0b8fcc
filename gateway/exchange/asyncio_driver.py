"""Drive exchanges in tasks: carry out their actions on any transport and any sink, and report what happens to them."""

from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel

from gateway.admission.permit import Permit
from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.errors import UnreachableError
from gateway.exchange.actions import Action, AskJournal, Finish, Write
from gateway.exchange.driver import ExchangeDriver
from gateway.exchange.outcomes import Ending
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.sink import Sink


class AsyncioDriver(ExchangeDriver):
    """Drive one exchange in the task that calls `run`, on any transport and to any sink."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        super().__init__(services, resolved, record)
        self._pending_cut: Ending | None = None
        """Cause of a cut that the task has not processed yet."""
        self._scope: anyio.CancelScope | None = None
        """Scope of the actions; None if `run` was not called, or has ended."""
        self._shield: anyio.CancelScope | None = None
        """Scope of an action that is carried out even if the exchange is cut."""

    def end(self, by: Ending) -> None:
        """End the exchange in its own task, after the action if that is complete."""
        if self.may_be_cut:
            self.has_ended, self._pending_cut = True, by
            if self._scope is not None:
                self._scope.cancel()

    def check(self, now_s: float) -> None:
        """Process a timeout that is over. Called regularly, for all exchanges; never while an event is processed."""
        exchange, scope = self._exchange, self._shield or self._scope
        if scope is None:
            return
        action = exchange.action
        try:
            self._process_cut()
            if exchange.is_due(now_s):
                exchange.due()
        except Exception as error:  # noqa: BLE001 - raised in the exchange's own task.
            self._failure = error
            exchange.abort()
        finally:
            if exchange.action is not action:
                scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Serve the request to its end; return normally if the client disconnects.

        Raises:
            GatewayError: The request failed; the caller has to send the error response, or the event in the stream.
        """
        exchange = self._exchange
        try:
            self._process_cut()
            exchange.start()
            while not exchange.is_over:
                with anyio.CancelScope() as self._scope:
                    while self._has_action:
                        action = exchange.action
                        if isinstance(action, Send) and not action.is_shielded:
                            # Here, because every function that waits costs time with each piece of an answer.
                            await self._send(action, sink)
                        else:
                            await self._act(action, sink)
                self._process_cut()
        except anyio.get_cancelled_exc_class():
            exchange.cut(Ending.CLIENT)
            raise
        finally:
            self._scope = None
            try:
                exchange.abort()
            finally:
                self.on_over(self)
        self._raise_error()

    @property
    def _has_action(self) -> bool:
        return not self._exchange.is_over and self._pending_cut is None

    def _process_cut(self) -> None:
        by, self._pending_cut = self._pending_cut, None
        if by is not None:
            self._exchange.cut(by)

    async def _act(self, action: Action | None, sink: Sink) -> None:
        """Carry out an action, and report what happened unless the action was replaced meanwhile."""
        assert action is not None  # noqa: S101 - only an exchange that is over has none.
        exchange = self._exchange
        report: Callable[[], object]
        match action:
            case Send():
                with anyio.CancelScope(shield=True) as self._shield:
                    await self._send(action, sink)
                self._shield = None
                return
            case AwaitPermit():
                await _turn_of(action.permit)
                report = exchange.wait_ended
            case Pause():
                await anyio.sleep(max(0.0, action.until_s - self._clock.monotonic_s()))
                report = exchange.resumed
            case Write():
                # Without data, other tasks run first.
                await (sink.send(action.data) if action.data else anyio.lowlevel.checkpoint())
                report = exchange.written
            case Finish():
                await sink.finish(action.data)
                report = exchange.written
            case AskJournal():
                report = partial(exchange.journal_answered, was_taken=await self._jobs.was_taken(action.job))
        if exchange.action is action:
            report()

    async def _send(self, action: Send, sink: Sink) -> None:
        exchange = self._exchange
        try:
            async with action.client.send(action.request) as answer:
                if exchange.action is action:
                    exchange.head(answer.status, answer.retry_after_s)
                async for piece in answer.pieces:
                    if exchange.action is not action:
                        return
                    frames = exchange.piece(piece)
                    if frames:
                        await sink.send(frames)
                    if exchange.action is not action:
                        return
            if exchange.action is action:
                exchange.ended()
        except UnreachableError as error:
            if exchange.action is action:
                exchange.failed(error)


async def _turn_of(permit: Permit) -> None:
    """Wait until a permit is granted or evicted."""
    if permit.is_waiting:
        turn = anyio.Event()
        permit.subscribe(turn.set)
        await turn.wait()
