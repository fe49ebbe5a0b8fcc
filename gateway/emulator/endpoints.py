"""Create the emulator's endpoints on first use, and run their workers in one task group."""

from types import TracebackType
from typing import Protocol, Self

import anyio
from anyio.abc import TaskGroup

from gateway.clock import Clock
from gateway.emulator.endpoint import Endpoint
from gateway.emulator.faults import FaultPlan
from gateway.emulator.settings import EmulatorSettings

TICK_S_MAX = 0.1
"""Maximum delay in seconds with which a time limit is noticed while there are no calls."""


class Staff(Protocol):
    """Run the scripted workers of one endpoint until cancelled."""

    async def __call__(self, endpoint: Endpoint) -> None:
        """Run the workers."""
        ...


class Endpoints:
    """Hold the endpoints of one emulator. Workers and time limits run only inside its async context."""

    def __init__(self, settings: EmulatorSettings, *, clock: Clock, staff: Staff) -> None:
        self.settings = settings
        self.plan = FaultPlan(settings.faults)
        self._clock = clock
        self._staff = staff
        self._endpoints: dict[str, Endpoint] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        for endpoint in self._endpoints.values():
            self._open(endpoint)
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.cancel_scope.cancel()
            await group.__aexit__(None, None, None)

    def get(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint of this id, creating it if needed; None if there are already `endpoints_max`."""
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None and len(self._endpoints) < self.settings.endpoints_max:
            endpoint = Endpoint(endpoint_id, settings=self.settings, plan=self.plan, clock=self._clock)
            self._endpoints[endpoint_id] = endpoint
            self._open(endpoint)
        return endpoint

    def all(self) -> list[Endpoint]:
        """Return all endpoints used so far."""
        return list(self._endpoints.values())

    def wake_all(self) -> None:
        """Wake every worker and every waiting call, because the faults have changed."""
        for endpoint in self._endpoints.values():
            endpoint.wake_all()

    def reset(self) -> None:
        """Delete every endpoint, stop its workers, release the calls that wait on it, and reset the faults."""
        for scope in self._scopes.values():
            scope.cancel()
        for endpoint in self._endpoints.values():
            endpoint.close()
        self._endpoints.clear()
        self._scopes.clear()
        self.plan.replace(self.settings.faults)

    def _open(self, endpoint: Endpoint) -> None:
        if self._group is not None:
            scope = self._scopes[endpoint.id] = anyio.CancelScope()
            self._group.start_soon(self._run, endpoint, scope)

    async def _run(self, endpoint: Endpoint, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._staff, endpoint)
                while True:
                    endpoint.sweep()
                    endpoint.bury_lost_workers()
                    await anyio.sleep(TICK_S_MAX)
