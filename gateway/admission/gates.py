"""All gates of one endpoint: one for its work, one for each Runpod operation."""

from gateway.admission.gate import Gate
from gateway.clock import Clock
from gateway.domain import PUBLISHED_LIMITS, Endpoint, Operation
from gateway.fairshare.pacer import Pacer

WORK_WAITING_MAX = 1000
CALLS_WAITING_MAX = 10_000
"""A call waits for a job that has a seat, so the seats bound this already; a bound all the same."""


class CallBudgets:
    """The budgets of one Runpod endpoint's calls, an operation each. They never lend to each other."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.gates = {
            operation: Gate(seats=limit.concurrent, waiting_max=CALLS_WAITING_MAX, clock=clock, pacer=Pacer(limit))
            for operation, limit in (PUBLISHED_LIMITS | endpoint.limits).items()
        }


class EndpointGates:
    """The seats of an endpoint as it is configured, and the budgets of its calls.

    Runpod counts calls by account and endpoint id, so two entries for one id share the budgets of the first.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock, *, budgets: CallBudgets) -> None:
        self.work = Gate(seats=endpoint.max_in_flight, waiting_max=WORK_WAITING_MAX, clock=clock)
        self.calls = budgets.gates

    def call(self, operation: Operation) -> Gate:
        """The gate before this operation."""
        return self.calls[operation]
