"""Decide everything about one client request, from its permit to its settlement. Pure: a driver does the I/O.

The driver (`asyncio_driver.py`) carries out `action` and reports what happened by calling an event; `transitions.py`
declares the states, and the events that are processed in each. An event calls nothing that calls back.
"""

from collections.abc import Callable

from gateway.endpoints.actions import AwaitPermit, Pause
from gateway.errors import GatewayError
from gateway.events import Outcome
from gateway.exchange.actions import Action
from gateway.exchange.attempt import Attempt
from gateway.exchange.attempt_sequence import AttemptSequence
from gateway.exchange.failover import Step
from gateway.exchange.outcomes import CLIENT_LEFT_STATUS, Ending, cut_error, without_traceback
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.settlement import Settlement
from gateway.exchange.transitions import TRANSITIONS, Event, State

_Next = Callable[[], "_Next | None"]
"""Step that returns the next one; None if an event has to happen first."""


class Exchange:
    """Represent one client request. At its end it has released everything that it held."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        self.record = record
        self.state = State.NEW
        self.action: Action | None = None
        """Action for the driver; None if the exchange is over."""
        self._services = services
        self._resolved = resolved
        self._sequence = self.events = AttemptSequence(services, resolved, record)
        """It also gives the events of a stream that depend on those before them."""
        self._attempt: Attempt | None = None
        """Attempt in progress, or the one whose cost is read."""
        self._error: GatewayError | None = None
        self._cut_by: Ending | None = None
        self._settlement = Settlement(resolved, record, clock=services.clock, observe=services.observe)
        self._deadline_s = float("inf")

    @property
    def is_over(self) -> bool:
        """Return True if nothing is left to do."""
        return self.state is State.OVER

    @property
    def may_be_cut(self) -> bool:
        """Return True if `cut` has an effect."""
        return Event.CUT in TRANSITIONS[self.state]

    def take_error(self) -> GatewayError | None:
        """Return the error for the client, once; None if it was answered, or has left."""
        error, self._error = self._error, None
        return error

    def is_due(self, now_s: float) -> bool:
        """Return True if `due` has to be called."""
        is_due = self._sequence.is_wait_over if self._attempt is None else self._attempt.is_due(now_s)
        return is_due or (now_s >= self._deadline_s and self.may_be_cut)

    def start(self) -> None:
        """Begin."""
        if self._accepts(Event.START):
            self._run(self._begin)

    def wait_ended(self) -> None:
        """Process the grant or the eviction of the permit, or of the budget, that was waited for."""
        if not self._accepts(Event.WAIT_ENDED):
            return
        if self.state is State.WAITING:
            self._run(self._conclude_wait)
        else:
            self._advance(lambda attempt: attempt.wait_ended())

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Process the head of a response."""
        if self._accepts(Event.HEAD):
            self._advance(lambda attempt: attempt.head(status, retry_after_s))

    def piece(self, data: bytes) -> bytes:
        """Process a piece of a response; return what has to be sent to the client before the next one."""
        attempt = self._attempt
        if attempt is None or not self._accepts(Event.PIECE):
            return b""
        try:
            frames = attempt.piece(data)
        except GatewayError as error:
            self._attempt_raised(error)
            return b""
        if attempt.action is not self.action:
            self._attempt_advanced(attempt)
        return frames

    def ended(self) -> None:
        """Process the end of a response."""
        if self._accepts(Event.ENDED):
            self._advance(lambda attempt: attempt.ended())

    def failed(self, error: GatewayError) -> None:
        """Process a failure of the connection to Runpod."""
        if self._accepts(Event.FAILED):
            self._advance(lambda attempt: attempt.failed(error))

    def written(self) -> None:
        """Go on after the client was sent what `action` held."""
        if self._accepts(Event.WRITTEN):
            self._advance(lambda attempt: attempt.written())

    def resumed(self) -> None:
        """Go on after a pause."""
        if not self._accepts(Event.RESUMED):
            return
        if self.state is State.PAUSING:
            self._run(self._begin_attempt)
        else:
            self._advance(lambda attempt: attempt.resumed())

    def journal_answered(self, *, was_taken: bool) -> None:
        """Process the journal's answer whether another process took the job over."""
        if self._accepts(Event.JOURNAL_ANSWERED):
            self._advance(lambda attempt: attempt.journal_answered(was_taken=was_taken))

    def due(self) -> None:
        """Process the end of a timeout."""
        if not self._accepts(Event.DUE):
            return
        if self._services.clock.monotonic_s() >= self._deadline_s and self.may_be_cut:
            self.cut(Ending.DEADLINE)
        elif self.state is State.WAITING:
            self._run(self._conclude_wait)
        else:
            self._advance(lambda attempt: attempt.due())

    def cut(self, by: Ending) -> None:
        """End the exchange, unless its answer is complete. Only if the client is still there, it receives an error."""
        if self._cut_by is not None or not self._accepts(Event.CUT):
            return
        self._cut_by = by
        if self.state is State.NEW:
            return
        if self._attempt is not None and self._attempt.is_uninterruptible:
            self.state = State.LEAVING
        else:
            self._end_cut()

    def abort(self) -> None:
        """End the exchange because its driver cannot go on: an exception was unexpected, or its task was cancelled."""
        if self.state is State.SETTLING and self._attempt is not None:
            # The client has its answer.
            self._attempt.stop_settling()
            self._settle(self._attempt)
        elif not self.is_over:
            try:
                self._sequence.close(None)
            finally:
                self._end(Outcome.BROKEN, 500)

    def _accepts(self, event: Event) -> bool:
        return event in TRANSITIONS[self.state]

    def _run(self, step: "_Next | None") -> None:
        while step is not None:
            step = step()

    def _begin(self) -> "_Next | None":
        if self._cut_by is not None:
            self._end_cut()
            return None
        try:
            self._settlement.reserve()
        except GatewayError as error:
            self._give_up(error)
            return None
        if self._resolved.deadline_s is not None:
            self._deadline_s = self._services.clock.monotonic_s() + self._resolved.deadline_s
        return self._next_endpoint

    def _next_endpoint(self) -> "_Next | None":
        """Request a permit of the next endpoint."""
        try:
            permit = self._sequence.next_endpoint()
        except GatewayError as error:
            return self._not_admitted(error)
        if not permit.is_waiting:
            return self._begin_attempt
        self.state, self.action = State.WAITING, AwaitPermit(permit)
        return None

    def _conclude_wait(self) -> "_Next | None":
        try:
            self._sequence.conclude_wait()
        except GatewayError as error:
            return self._not_admitted(error)
        return self._begin_attempt

    def _not_admitted(self, error: GatewayError) -> "_Next | None":
        if self._sequence.not_admitted(without_traceback(error)):
            return self._next_endpoint
        self._give_up(error)
        return None

    def _begin_attempt(self) -> "_Next | None":
        self.state = State.ATTEMPTING
        try:
            attempt = self._attempt = self._sequence.begin()
        except GatewayError as error:
            return self._attempt_failed(error)
        self.action = attempt.action
        return None

    def _advance(self, step: Callable[[Attempt], None]) -> None:
        """Let the attempt process an event."""
        attempt = self._attempt
        if attempt is None:
            return
        try:
            step(attempt)
        except GatewayError as error:
            self._attempt_raised(error)
        else:
            self._attempt_advanced(attempt)

    def _attempt_raised(self, error: GatewayError) -> None:
        without_traceback(error)
        if self.state is State.LEAVING:
            self._end_cut()
        else:
            self._run(self._attempt_failed(error))

    def _attempt_advanced(self, attempt: Attempt) -> None:
        if self.state is State.LEAVING:
            if not attempt.is_uninterruptible:
                self._end_cut()
        elif self.state is State.SETTLING:
            self._settle(attempt)
        elif attempt.is_done:
            self._answered(attempt)
        else:
            self.action = attempt.action

    def _attempt_failed(self, error: GatewayError) -> "_Next | None":
        """Close the attempt, and decide how to go on."""
        self._attempt = None
        step, pause_s = self._sequence.fail(without_traceback(error))
        match step:
            case Step.RETRY | Step.NEXT_ROUTE:
                if not pause_s:
                    return self._begin_attempt
                self.state, self.action = State.PAUSING, Pause(self._services.clock.monotonic_s() + pause_s)
                return None
            case Step.NEXT_ENDPOINT:
                return self._next_endpoint
            case _:
                self._give_up(error)
                return None

    def _give_up(self, error: GatewayError) -> None:
        """End with an error for the client."""
        self._error = without_traceback(error)
        self._leave()
        self._settlement.fail(error)

    def _end_cut(self) -> None:
        """End an exchange that was cut, and give the client an error unless it has left."""
        self._sequence.close(None)
        error = cut_error(self._cut_by, deadline_s=self._resolved.deadline_s)
        if error is None:
            self._end(Outcome.CLIENT_LEFT, CLIENT_LEFT_STATUS)
        else:
            self._give_up(error)

    def _answered(self, attempt: Attempt) -> None:
        """Give back the seat, and read what the answer cost. What follows is not part of the client's waiting time."""
        self._sequence.close(None)
        self._sequence.release()
        self._settlement.leave()
        self.record.answered_s = self.record.elapsed_s()
        self.state = State.SETTLING
        attempt.settle()
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        if (action := attempt.action) is None:
            self._end(Outcome.COMPLETED, 200)
        self.action = action

    def _end(self, outcome: Outcome, status: int) -> None:
        self._leave()
        self._settlement.end(outcome, status=status)

    def _leave(self) -> None:
        self._sequence.release()
        self.state, self.action, self._attempt = State.OVER, None, None
