"""/emulator/*: what tests and demos ask of the emulator itself. No key, and never part of the real service."""

import msgspec
from litestar import Router, get, post, put
from litestar.params import JSONBody

from gateway.emulator.calls import CallLog, CallRecord
from gateway.emulator.endpoints import Endpoints
from gateway.emulator.faults import Faults
from gateway.emulator.limits import LimitReport


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One job as the emulator sees it. Times are seconds of its monotonic clock."""

    id: str
    endpoint: str
    state: str
    worker_id: str
    outputs_count: int
    """Outputs yielded, over all dispatches."""
    unread_count: int
    """Outputs that no /stream call was given yet."""
    dispatches: int
    retries: int
    submitted_s: float
    expires_s: float
    """When its ttl deletes it, unless it has ended by then."""
    dispatched_s: float | None
    finished_s: float | None
    cancel_requested_s: float | None
    error: str


def admin_router(endpoints: Endpoints, calls: CallLog) -> Router:
    """The routes under /emulator."""

    @get("/jobs", sync_to_thread=False)
    def list_jobs() -> list[JobRecord]:
        return [
            JobRecord(
                id=job.id,
                endpoint=endpoint.id,
                state=job.state.value,
                worker_id=job.worker_id,
                outputs_count=job.outputs_count,
                unread_count=len(job.unread),
                dispatches=job.dispatches,
                retries=job.retries,
                submitted_s=job.submitted_s,
                expires_s=job.expires_s,
                dispatched_s=job.dispatched_s,
                finished_s=job.finished_s,
                cancel_requested_s=job.cancel_requested_s,
                error=job.error,
            )
            for endpoint in endpoints.all()
            for job in endpoint.jobs()
        ]

    @get("/calls", sync_to_thread=False)
    def list_calls() -> list[CallRecord]:
        return calls.records()

    @get("/limits", sync_to_thread=False)
    def show_limits() -> dict[str, dict[str, LimitReport]]:
        return {
            endpoint.id: {operation.value: meter.report() for operation, meter in endpoint.meters.items()}
            for endpoint in endpoints.all()
        }

    @get("/faults", sync_to_thread=False)
    def show_faults() -> Faults:
        return endpoints.plan.faults

    @put("/faults", sync_to_thread=False)
    def replace_faults(data: JSONBody[Faults]) -> Faults:
        endpoints.plan.replace(data)
        endpoints.wake_all()
        return data

    @post("/reset", status_code=204, sync_to_thread=False)
    def reset() -> None:
        endpoints.reset()
        calls.clear()

    handlers = [list_jobs, list_calls, show_limits, show_faults, replace_faults, reset]
    return Router("/emulator", route_handlers=handlers)
