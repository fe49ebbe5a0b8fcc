"""Read the health of endpoints in the background, which wakes no worker. No request waits for a reading."""

from collections.abc import Iterable

import anyio
from anyio.abc import TaskGroup

from gateway.domain import Operation, Tenant
from gateway.endpoints.upstream import Upstream
from gateway.errors import GatewayError
from gateway.events import Broke, Observer
from gateway.wire.runpod import EndpointHealth

LOOK_S = 0.5
"""Seconds between checks which endpoints' health is needed."""
QUICK_LOOK_S = 0.2
"""The same while abandoned attempts hold seats, which only /health releases: 50 calls in 10 s, of 100."""
READ_S_MAX = 2.0
"""Maximum seconds for a reading: requests at a narrowed gate may depend on it."""
_NOBODY = Tenant(name="")
"""The gateway itself, as the tenant of these calls."""


class HealthChecker:
    """Read /health of the endpoints whose state is needed."""

    def __init__(self, upstreams: Iterable[Upstream], observe: Observer) -> None:
        self._upstreams = list(upstreams)
        self._observe = observe
        self._asked: set[str] = set()
        self._reading: set[str] = set()
        self._changed = anyio.Event()

    def ask(self, upstream: Upstream) -> None:
        """Read the health of an endpoint now."""
        self._asked.add(upstream.endpoint.name)
        self._changed.set()

    async def run(self) -> None:
        """Read the health that is needed, until cancelled."""
        # No reading is in progress: those of an earlier, failed run ended with it.
        self._reading.clear()
        async with anyio.create_task_group() as tasks:
            while True:
                is_quick = any(upstream.abandoned for upstream in self._upstreams)
                with anyio.move_on_after(QUICK_LOOK_S if is_quick else LOOK_S):
                    await self._changed.wait()
                self._changed = anyio.Event()
                for upstream in self._upstreams:
                    name = upstream.endpoint.name
                    if name not in self._reading and (name in self._asked or upstream.needs_probe()):
                        self._reading.add(name)
                        tasks.start_soon(self._read, upstream, tasks)
                self._asked.clear()

    async def _read(self, upstream: Upstream, tasks: TaskGroup) -> None:
        health, asked_at_s = None, upstream.now_s

        async def read() -> EndpointHealth:
            nonlocal asked_at_s
            asked_at_s = upstream.now_s
            return await upstream.jobs.read_health()

        try:
            with anyio.move_on_after(READ_S_MAX):
                health = await upstream.call(Operation.HEALTH, read, tenant=_NOBODY, wait_s_max=READ_S_MAX)
        except GatewayError:
            pass
        except Exception as error:  # noqa: BLE001 - one bad answer must not end the watch, and with it the process.
            self._observe(Broke(request_id="", error=error))
        finally:
            self._reading.discard(upstream.endpoint.name)
            upstream.on_health(health, asked_at_s=asked_at_s)
            # In its own task, because it takes a while: the next reading does not have to wait for it.
            tasks.start_soon(self._compare, upstream, health, asked_at_s)

    async def _compare(self, upstream: Upstream, health: EndpointHealth | None, asked_at_s: float) -> None:
        try:
            await upstream.compare(health, asked_at_s=asked_at_s)
        except Exception as error:  # noqa: BLE001 - nor must a bad report of another replica.
            self._observe(Broke(request_id="", error=error))
