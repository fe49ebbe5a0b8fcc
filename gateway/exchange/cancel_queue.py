"""Jobs that nobody waits for any more: each is cancelled at Runpod, inside the scarce budget for cancels.

Adding one never waits and never fails, so that a request can be left at any point.
"""

import anyio
import msgspec

from gateway.domain import Operation, Tenant
from gateway.errors import GatewayError, JobExpiredError
from gateway.exchange.events import Broke, CallOutcome, JobCancelled, Observer
from gateway.exchange.upstream import Upstream

TRIES_MAX = 6
PAUSE_S_FIRST = 0.5
PAUSE_S_MAX = 8.0
TURN_S_MAX = 120.0
"""400 cancels at once need 42 s at 100 in 10 s."""


class _Entry(msgspec.Struct, frozen=True):
    upstream: Upstream
    job_id: str
    tenant: Tenant


class CancelQueue:
    """Cancels to be made. `run` makes them, one entry per job, until it is cancelled itself."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._pending: dict[tuple[str, str], _Entry] = {}
        self._fresh: list[_Entry] = []
        self._changed = anyio.Event()

    def add(self, upstream: Upstream, job_id: str, *, tenant: Tenant) -> None:
        """A job is to be cancelled."""
        key = (upstream.endpoint.name, job_id)
        if key not in self._pending:
            self._pending[key] = entry = _Entry(upstream, job_id, tenant)
            self._fresh.append(entry)
            self._changed.set()

    async def run(self) -> None:
        """Make the cancels."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._changed.wait()
                self._changed = anyio.Event()
                fresh, self._fresh = self._fresh, []
                for entry in fresh:
                    tasks.start_soon(self._cancel, entry)

    async def flush(self) -> None:
        """Wait until none is pending."""
        while self._pending:
            changed = self._changed
            await changed.wait()

    async def _cancel(self, entry: _Entry) -> None:
        outcome = CallOutcome.FAILED
        try:
            outcome = await self._try(entry)
        except Exception as error:  # noqa: BLE001 - one bad cancel must not end the queue, and with it the process.
            self._observe(Broke(request_id="", error=error))
        finally:
            del self._pending[entry.upstream.endpoint.name, entry.job_id]
            self._changed.set()
            self._observe(JobCancelled(endpoint=entry.upstream.endpoint.name, job_id=entry.job_id, outcome=outcome))

    async def _try(self, entry: _Entry) -> CallOutcome:
        pause_s = PAUSE_S_FIRST
        for _ in range(TRIES_MAX):
            try:
                await entry.upstream.call(
                    Operation.CANCEL,
                    lambda: entry.upstream.jobs.cancel(entry.job_id),
                    tenant=entry.tenant,
                    wait_s_max=TURN_S_MAX,
                )
            except JobExpiredError:
                return CallOutcome.GONE
            except GatewayError:
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
            else:
                return CallOutcome.OK
        return CallOutcome.FAILED
