"""Charges a request for what the tenants of its endpoint share: as it flows, and again when it is known for sure."""

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.domain import Resource, Usage
from gateway.fairshare.tariff import TOKENS_PER_SEAT_SECOND


class Meter:
    """One request at one endpoint. Seats pay by themselves; tokens and GPU seconds are told here."""

    def __init__(self, gate: Gate, permit: Permit, resource: Resource) -> None:
        self._gate = gate
        self._permit = permit
        self._resource = resource
        self._settled = 0.0
        """What its attempts came to, as far as that is known for sure."""

    def read(self, tokens: int) -> None:
        """The worker was given so many tokens, by estimate."""
        if self._resource is Resource.TOKENS:
            self._gate.charge(self._permit, tokens)

    def wrote(self, chunks: int) -> None:
        """So many chunks came back: about as many tokens."""
        if self._resource is Resource.TOKENS:
            self._gate.charge(self._permit, chunks)

    def refused(self) -> None:
        """Runpod would not take it: as if it had waited until now."""
        self._gate.forgive(self._permit)

    def settle_usage(self, usage: Usage | None) -> None:
        """Replace the estimate of an attempt by its tokens; None where there was no output."""
        if self._resource is Resource.TOKENS:
            self._settle(0 if usage is None else usage.total_tokens)

    def settle_gpu(self, gpu_s: float) -> None:
        """Replace the time of its seat by the GPU seconds of an attempt."""
        if self._resource is Resource.GPU_SECONDS:
            self._settle(gpu_s)

    def ran_on(self, seconds: float) -> None:
        """Charge what a worker may have written in so many seconds after its request was left."""
        if self._resource is Resource.TOKENS:
            self._settle(seconds * TOKENS_PER_SEAT_SECOND)

    def _settle(self, cost: float) -> None:
        # Earlier attempts keep their cost: what they used is not given back by a later one.
        self._settled += cost
        self._gate.settle(self._permit, self._settled)
