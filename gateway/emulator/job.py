"""Represent one job: its data, its states, and the transitions between them."""

import msgspec

from gateway.emulator.deadlines import NEVER_S
from gateway.wire.runpod import JobState

# All allowed transitions. A job returns to the queue only after its worker's death or by /retry.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.IN_QUEUE: frozenset({JobState.IN_PROGRESS, JobState.CANCELLED, JobState.TIMED_OUT}),
    JobState.IN_PROGRESS: frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.IN_QUEUE}),
    JobState.FAILED: frozenset({JobState.IN_QUEUE}),
    JobState.TIMED_OUT: frozenset({JobState.IN_QUEUE}),
    JobState.COMPLETED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class IllegalMoveError(Exception):
    """Signal that a job cannot change from its state to the requested one."""


class QueueFullError(Exception):
    """Signal that the endpoint keeps the maximum number of jobs, and none of them has ended."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the time limits of one submission in seconds, with defaults filled in."""

    ttl_s: float
    """Seconds from submission until the job is deleted in any state, unless it has ended."""
    execution_timeout_s: float
    retention_s: float
    """Seconds from the job's end until its deletion."""
    queue_timeout_s: float = NEVER_S


class Occupancy(msgspec.Struct, frozen=True, kw_only=True):
    """Represent an interval in which a worker held a job. Times are nanoseconds of the emulator's monotonic clock."""

    worker_id: str
    started_ns: int
    ended_ns: int | None
    """End of the interval; None while it lasts."""
    jobs_count: int
    """Number of jobs that the worker held at some moment of the interval, this one included."""
    share_ns: int
    """Share of the worker's time: each moment is divided evenly among the jobs of that moment; rounded down. The shares
    of all jobs add up to the time in which the worker had jobs, less at most one nanosecond per job."""


class Job(msgspec.Struct, kw_only=True, eq=False):
    """Hold one job. Only JobStore, and WorkerTime on its behalf, change it."""

    id: str
    input: bytes
    terms: Terms
    submitted_s: float
    queued_s: float = 0.0
    """Time at which it was last queued: at submission, at /retry, or when its worker died."""
    state: JobState = JobState.IN_QUEUE
    unread: list[bytes] = []
    """Stream items, each a JSON object with `output`, that no reader has received yet."""
    outputs_count: int = 0
    """Number of items yielded, over all dispatches."""
    output: bytes = b""
    """JSON that /status shows as `output`; empty omits the field."""
    error: str = ""
    worker_id: str = ""
    occupancies: list[Occupancy] = []
    """Intervals that have ended; WorkerTime tracks the current one."""
    dispatches: int = 0
    retries: int = 0
    dispatched_s: float | None = None
    finished_s: float | None = None
    cancel_requested_s: float | None = None
    cancel_due_s: float = NEVER_S
    expires_s: float = NEVER_S
    deadline_s: float = NEVER_S
    """Time of the next timeout, delayed cancel or deletion."""
    is_deleted: bool = False

    @property
    def is_over(self) -> bool:
        """Return True if the job has ended or was deleted."""
        return self.is_deleted or self.state.is_terminal
