"""Create the gates of one endpoint: one for its work, one for each Runpod operation."""

from collections.abc import Mapping
from typing import assert_never

from gateway.admission.capacity import Capacities
from gateway.admission.gate import Gate
from gateway.clock import Clock
from gateway.domain import Endpoint, Operation, Resource
from gateway.fairshare import cost_model
from gateway.fairshare.cost_model import CostModel
from gateway.fairshare.overflow import QueueLimits

_CALL_LIMITS = QueueLimits(tickets_max=1_000_000, tenant_tickets_max=1_000_000, refuses_hopeless=False)
"""Each job has one call in flight and at most one cancel, so the seats bound the length of the line; a cancel is never
rejected."""


class CallBudgets:
    """Hold the budgets for calls to one Runpod endpoint, one per operation. They do not lend to each other."""

    def __init__(self, endpoint: Endpoint, clock: Clock, capacities: Capacities) -> None:
        self.gates: dict[Operation, Gate] = {}
        for operation in Operation:
            limit = endpoint.limit(operation)
            capacity = capacities.calls(f"{endpoint.address} {operation.value}", limit)
            price = cost_model.of_calls(limit.per_10s / 10, seats=limit.concurrent)
            self.gates[operation] = Gate(capacity, price, clock=clock, limits=_CALL_LIMITS)


class EndpointGates:
    """Hold the seats of a configured endpoint and the budgets of its calls.

    Requests on both routes use the same seats and are charged to the same account, so a tenant gains nothing by using
    the other route. Runpod counts calls by account and endpoint id, so two entries for one id share the budgets of the
    first.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock, *, budgets: CallBudgets, capacities: Capacities) -> None:
        seats = capacities.seats(f"{endpoint.name} work", endpoint.max_in_flight)
        self.work = Gate(
            seats, _work_cost_model(endpoint), clock=clock, capped_wait_s_max=endpoint.cold_start_timeout_s
        )
        self.calls = budgets.gates

    def take(self, endpoint: Endpoint) -> None:
        """Apply a new configuration of the endpoint; its call budgets stay the same."""
        cold_s = endpoint.cold_start_timeout_s
        self.work.resize(endpoint.max_in_flight, _work_cost_model(endpoint), capped_wait_s_max=cold_s)

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Set the weights of the tenants."""
        for gate in (self.work, *self.calls.values()):
            gate.reweigh(weights)

    def call(self, operation: Operation) -> Gate:
        """Return the gate of this operation."""
        return self.calls[operation]


def _work_cost_model(endpoint: Endpoint) -> CostModel:
    match endpoint.share_by:
        case Resource.SEAT_SECONDS | Resource.GPU_SECONDS:
            return cost_model.of_seats(endpoint.max_in_flight)
        case Resource.TOKENS:
            return cost_model.of_tokens(endpoint.max_in_flight)
        case _:
            assert_never(endpoint.share_by)
