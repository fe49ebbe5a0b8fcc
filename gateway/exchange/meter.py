"""Charges a request for what the tenants of its endpoint share: as it flows, and again when it is known for sure."""

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.domain import Resource, Usage


class Meter:
    """One request at one endpoint. Seats pay by themselves; tokens and GPU seconds are told here."""

    def __init__(self, gate: Gate, permit: Permit, resource: Resource) -> None:
        self._gate = gate
        self._permit = permit
        self._resource = resource

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
        """What it came to in tokens; None where there was no output."""
        if self._resource is Resource.TOKENS:
            self._gate.settle(self._permit, 0 if usage is None else usage.total_tokens)

    def settle_gpu(self, gpu_s: float) -> None:
        """Replace the time of its seat by its GPU seconds."""
        if self._resource is Resource.GPU_SECONDS:
            self._gate.settle(self._permit, gpu_s)
