"""Charge an exchange to its tenant's caps, and report its end. Pure."""

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.events import Observer, Outcome
from gateway.exchange.outcomes import error_name, outcome_of
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest
from gateway.translate.error_body import error_answer
from gateway.translate.request import tokens_to_reserve


class Settlement:
    """Hold what one exchange has reserved of its tenant's caps."""

    def __init__(self, resolved: ResolvedRequest, record: Record, *, clock: Clock, observe: Observer) -> None:
        self._resolved = resolved
        self._record = record
        self._clock = clock
        self._observe = observe
        self._reserved_tokens = 0
        self._is_left = False

    def reserve(self) -> None:
        """Reserve the tokens that the request may take.

        Raises:
            TenantLimitError: The tenant has too few left.
        """
        resolved = self._resolved
        self._reserved_tokens = resolved.quota.reserve(tokens_to_reserve(resolved.request), self._clock.monotonic_s())

    def leave(self) -> None:
        """Give back the place among the tenant's requests in flight, and replace the reserved tokens by the used ones.

        Only the first call has an effect.
        """
        if self._is_left:
            return
        self._is_left = True
        self._resolved.in_flight.release()
        usage = self._record.usage
        total_tokens = usage.total_tokens if usage else 0
        self._resolved.quota.settle(self._reserved_tokens, total_tokens, self._clock.monotonic_s())

    def end(self, outcome: Outcome, *, status: int) -> None:
        """Report the end of an exchange without an error for the client."""
        self.leave()
        self._resolved.release()
        self._observe(self._record.settle(outcome, status=status))

    def fail(self, error: GatewayError) -> None:
        """Report the end of an exchange whose client receives an error."""
        self.leave()
        self._resolved.release()
        answer = error_answer(error)
        self._observe(
            self._record.settle(outcome_of(error), status=answer.status, reason=answer.code, error=error_name(error))
        )
