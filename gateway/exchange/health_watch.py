"""Which endpoints have a warm worker, for the route that depends on it. No request ever waits for the answer."""

import anyio

from gateway.clock import Clock
from gateway.domain import Operation, Tenant
from gateway.errors import GatewayError
from gateway.exchange.events import Broke, Observer
from gateway.exchange.upstream import Upstream

AGE_S_MAX = 5.0
"""How old an answer may be before a request asks for a new one."""
USEFUL_S_MAX = 15.0
"""How old an answer may be to be believed: after that an endpoint counts as cold."""
_NOBODY = Tenant(name="")
"""Who asks: the gateway itself."""


class HealthWatch:
    """Reads /health in the background, when requests want to know and not more often than every few seconds."""

    def __init__(self, clock: Clock, observe: Observer) -> None:
        self._clock = clock
        self._observe = observe
        self._wanted: dict[str, Upstream] = {}
        self._asked = anyio.Event()
        self._reading: set[str] = set()
        self._seen: dict[str, tuple[float, bool]] = {}

    def is_warm(self, upstream: Upstream) -> bool:
        """Whether a worker was idle or running a moment ago. Unknown is cold: the job route works either way."""
        now_s = self._clock.monotonic_s()
        read_at_s, is_warm = self._seen.get(upstream.endpoint.name, (float("-inf"), False))
        if now_s - read_at_s > AGE_S_MAX and upstream.endpoint.name not in self._reading:
            self._wanted[upstream.endpoint.name] = upstream
            self._asked.set()
        return is_warm and now_s - read_at_s <= USEFUL_S_MAX

    async def run(self) -> None:
        """Read what is wanted."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._asked.wait()
                self._asked = anyio.Event()
                wanted, self._wanted = self._wanted, {}
                for name, upstream in wanted.items():
                    self._reading.add(name)
                    tasks.start_soon(self._read, upstream)

    async def _read(self, upstream: Upstream) -> None:
        is_warm = False
        try:
            health = await upstream.call(
                Operation.HEALTH, upstream.jobs.read_health, tenant=_NOBODY, wait_s_max=AGE_S_MAX
            )
            is_warm = health.workers.get("idle", 0) + health.workers.get("running", 0) > 0
        except GatewayError:
            pass
        except Exception as error:  # noqa: BLE001 - one bad answer must not end the watch, and with it the process.
            self._observe(Broke(request_id="", error=error))
        finally:
            self._reading.discard(upstream.endpoint.name)
            self._note(upstream, is_warm=is_warm)

    def _note(self, upstream: Upstream, *, is_warm: bool) -> None:
        self._seen[upstream.endpoint.name] = (self._clock.monotonic_s(), is_warm)
