"""Charge a request for the resource that the tenants of its endpoint share: estimated at first, then as measured."""

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.domain import Resource, Usage
from gateway.fairshare.cost_model import TOKENS_PER_SEAT_SECOND


class RequestMeter:
    """Charge one request at one endpoint. Seats are charged by the gate; tokens and GPU seconds here."""

    def __init__(self, gate: Gate, permit: Permit, resource: Resource) -> None:
        self._gate = gate
        self._permit = permit
        self._resource = resource
        self._settled = 0.0
        """Measured cost of its attempts so far."""

    def read(self, tokens: int) -> None:
        """Charge the estimated number of tokens that were sent to a worker."""
        if self._resource is Resource.TOKENS:
            self._gate.charge(self._permit, tokens)

    def wrote(self, chunks: int) -> None:
        """Charge for chunks of output: about one token each."""
        if self._resource is Resource.TOKENS:
            self._gate.charge(self._permit, chunks)

    def refused(self) -> None:
        """Refund it, because Runpod did not accept it: it is charged as if it was granted only now."""
        self._gate.forgive(self._permit)

    def settle_usage(self, usage: Usage | None) -> None:
        """Replace the estimate of an attempt by its tokens; None if there was no output."""
        if self._resource is Resource.TOKENS:
            self._settle(0 if usage is None else usage.total_tokens)

    def settle_gpu(self, gpu_s: float) -> None:
        """Replace the time of its seat by the GPU seconds of an attempt."""
        if self._resource is Resource.GPU_SECONDS:
            self._settle(gpu_s)

    def ran_on(self, seconds: float) -> None:
        """Charge the tokens that a worker may have written in `seconds` after its request was abandoned."""
        if self._resource is Resource.TOKENS:
            self._settle(seconds * TOKENS_PER_SEAT_SECOND)

    def _settle(self, cost: float) -> None:
        # Earlier attempts keep their cost: a later one does not undo what they used.
        self._settled += cost
        self._gate.settle(self._permit, self._settled)
