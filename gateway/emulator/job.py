"""One job: what is kept of it, the states it can be in, and the moves between them."""

import msgspec

from gateway.emulator.deadlines import NEVER_S
from gateway.wire.runpod import JobState

# The only moves there are. A worker's death and /retry are the ways back into the queue.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.IN_QUEUE: frozenset({JobState.IN_PROGRESS, JobState.CANCELLED, JobState.TIMED_OUT}),
    JobState.IN_PROGRESS: frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.IN_QUEUE}),
    JobState.FAILED: frozenset({JobState.IN_QUEUE}),
    JobState.TIMED_OUT: frozenset({JobState.IN_QUEUE}),
    JobState.COMPLETED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class IllegalMoveError(Exception):
    """A job cannot go from the state it is in to the one asked for."""


class QueueFullError(Exception):
    """The endpoint keeps as many jobs as it may, and none of them has ended."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one submission asked for, defaults filled in. Seconds."""

    ttl_s: float
    """From submission until the job is deleted, whatever it is doing, unless it has ended."""
    execution_timeout_s: float
    retention_s: float
    """From its end until the result is deleted."""
    queue_timeout_s: float = NEVER_S


class Occupancy(msgspec.Struct, frozen=True, kw_only=True):
    """One interval in which a job had a worker. Nanoseconds of the emulator's monotonic clock."""

    worker_id: str
    started_ns: int
    ended_ns: int | None
    """None while it lasts."""
    jobs_count: int
    """Jobs that had the worker at some moment of the interval, this one included."""
    share_ns: int
    """This job's part of the worker's time, each moment divided evenly among the jobs of that moment; rounded down.
    The shares of all jobs add up to the time in which the worker had jobs, short of one nanosecond for each."""


class Job(msgspec.Struct, kw_only=True, eq=False):
    """One job. Only JobStore, and WorkerTime for it, change it."""

    id: str
    input: bytes
    terms: Terms
    submitted_s: float
    queued_s: float = 0.0
    """When it came into the queue last: at its submission, at /retry, or when its worker died."""
    state: JobState = JobState.IN_QUEUE
    unread: list[bytes] = []
    """Stream items, each a JSON object with `output`, that no reader was given yet."""
    outputs_count: int = 0
    """Items yielded, over all dispatches."""
    output: bytes = b""
    """JSON of what /status shows as `output`; empty shows none."""
    error: str = ""
    worker_id: str = ""
    occupancies: list[Occupancy] = []
    """The intervals that have ended; of the one that lasts WorkerTime knows."""
    dispatches: int = 0
    retries: int = 0
    dispatched_s: float | None = None
    finished_s: float | None = None
    cancel_requested_s: float | None = None
    cancel_due_s: float = NEVER_S
    expires_s: float = NEVER_S
    deadline_s: float = NEVER_S
    """When something happens to the job if nobody does anything."""
    is_deleted: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of it any more: it has ended, or it was deleted."""
        return self.is_deleted or self.state.is_terminal
