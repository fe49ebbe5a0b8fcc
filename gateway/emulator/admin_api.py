"""Serve /emulator/*: the control API for tests and demos. It needs no key and is not part of the real service."""

import msgspec
from litestar import Router, get, post, put
from litestar.params import JSONBody

from gateway.emulator.calls import CallLog, CallRecord
from gateway.emulator.endpoint import Endpoint
from gateway.emulator.endpoints import Endpoints
from gateway.emulator.faults import Faults
from gateway.emulator.job import Job, Occupancy
from gateway.emulator.limits import LimitReport
from gateway.emulator.settings import EmulatorSettings


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one job for the admin API. Times are seconds of the emulator's monotonic clock."""

    id: str
    endpoint: str
    state: str
    worker_id: str
    input_bytes: int
    """Size of the job's input in bytes, by which a test recognizes its job."""
    outputs_count: int
    """Number of outputs yielded, over all dispatches."""
    unread_count: int
    """Number of outputs that no call has read yet."""
    dispatches: int
    retries: int
    submitted_s: float
    expires_s: float
    """Time at which its ttl deletes it, unless it has ended by then."""
    dispatched_s: float | None
    finished_s: float | None
    cancel_requested_s: float | None
    error: str
    occupancies: list[Occupancy]
    """Intervals in which a worker held the job. Deleted with it; the total of worker time stays in /emulator/usage."""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one worker for the admin API."""

    id: str
    kind: str
    condition: str
    jobs_count: int


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the billed time of one endpoint's workers, since the first call to the endpoint; see WorkerTime."""

    endpoint: str
    at_s: float
    """Time of the reading, in seconds of the emulator's monotonic clock."""
    starting_ns: int
    busy_ns: int
    idle_ns: int
    total_ns: int
    workers: list[WorkerRecord]


def admin_router(endpoints: Endpoints, calls: CallLog) -> Router:
    """Build the router for /emulator."""

    @get("/jobs", sync_to_thread=False)
    def list_jobs() -> list[JobRecord]:
        return [_job(endpoint, job) for endpoint in endpoints.all() for job in endpoint.jobs()]

    @get("/usage", sync_to_thread=False)
    def list_usage() -> list[UsageRecord]:
        return [_usage(endpoint) for endpoint in endpoints.all()]

    @get("/calls", sync_to_thread=False)
    def list_calls() -> list[CallRecord]:
        return calls.records()

    @get("/limits", sync_to_thread=False)
    def show_limits() -> dict[str, dict[str, LimitReport]]:
        return {
            endpoint.id: {operation.value: meter.report() for operation, meter in endpoint.meters.items()}
            for endpoint in endpoints.all()
        }

    @get("/settings", sync_to_thread=False)
    def show_settings() -> EmulatorSettings:
        settings = endpoints.settings
        return msgspec.structs.replace(
            settings, api_key="set" if settings.api_key else "", faults=endpoints.plan.faults
        )

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

    handlers = [list_jobs, list_usage, list_calls, show_limits, show_settings, show_faults, replace_faults, reset]
    return Router("/emulator", route_handlers=handlers)


def _job(endpoint: Endpoint, job: Job) -> JobRecord:
    return JobRecord(
        id=job.id,
        endpoint=endpoint.id,
        state=job.state.value,
        worker_id=job.worker_id,
        input_bytes=len(job.input),
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
        occupancies=endpoint.occupancies(job),
    )


def _usage(endpoint: Endpoint) -> UsageRecord:
    endpoint.sweep()
    at_s = endpoint.now_s
    usage = endpoint.worker_time.usage(at_s)
    return UsageRecord(
        endpoint=endpoint.id,
        at_s=at_s,
        starting_ns=usage.starting_ns,
        busy_ns=usage.busy_ns,
        idle_ns=usage.idle_ns,
        total_ns=usage.total_ns,
        workers=[
            WorkerRecord(
                id=worker.id,
                kind=worker.kind,
                condition=worker.condition,
                jobs_count=endpoint.worker_time.jobs_count(worker.id),
            )
            for worker in endpoint.workforce.all()
        ],
    )
