"""What happened, for whoever counts or logs it. An observer must not raise and must not wait.

The labels (tenant, model, endpoint) come from the configuration; nothing here holds a prompt, a completion or a key.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from gateway.admission.lease_store import RecordKind
from gateway.connections import Refusal
from gateway.domain import Api, Attempt, Operation, Usage
from gateway.errors import ConnectFault
from gateway.wire.traceparent import TraceParent


class Outcome(StrEnum):
    """How an exchange ended."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    """The request was at fault."""
    REFUSED = "refused"
    """No capacity, or a cap of the tenant's."""
    UPSTREAM_FAILED = "upstream_failed"
    CLIENT_LEFT = "client_left"
    CUT = "cut"
    """We ended it ourselves, shutting down."""
    BROKEN = "broken"
    """A bug of ours."""


class CallOutcome(StrEnum):
    """How one call to Runpod ended."""

    OK = "ok"
    BUSY = "busy"
    """429."""
    GONE = "gone"
    """404: the job is not known any more."""
    FAILED = "failed"
    LOST = "lost"
    """Sent, and its reply was lost."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A turn has come."""

    tenant: str
    endpoint: str
    wait_s: float


class UpstreamCalled(msgspec.Struct, frozen=True, kw_only=True):
    """A call to Runpod ended."""

    endpoint: str
    operation: Operation
    outcome: CallOutcome
    fault: ConnectFault | None = None
    """The reason for which no connection could be opened; None where there was one."""


class JobCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """A cancel came to its end, one way or the other."""

    attempt: Attempt
    outcome: CallOutcome
    is_orphan: bool
    """Whether a process that is dead had left the job."""
    gpu_s: float
    """GPU seconds that it used all the same."""
    execution_s: float | None
    """How long it ran, by Runpod's account; None if Runpod did not say."""
    saved_s: float
    """GPU seconds that it would have used more, going by the tenant's other requests."""


class JobEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A job is not read any more, answered or not: its times, as far as Runpod has told them."""

    attempt: Attempt
    execution_s: float | None
    delay_s: float | None


class GpuTimeSettled(msgspec.Struct, frozen=True, kw_only=True):
    """The GPU seconds of an attempt are final; told once for each."""

    attempt: Attempt
    gpu_s: float | None
    """None where it may have run, and nobody can tell: the reply to its submission was lost, and its id with it."""
    execution_s: float | None = None
    """How long it ran by Runpod's account, where that is known by now."""


class FirstChunk(msgspec.Struct, frozen=True, kw_only=True):
    """The first output reached the client."""

    request_id: str
    model: str
    route: str
    after_s: float


class TraceContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where an exchange stands in a trace that may span several services."""

    api: Api
    own: TraceParent
    parent: TraceParent | None
    """The caller's span, where it named one."""
    received_at_s: float
    """Seconds since 1970."""


BeginTrace = Callable[[Api, Iterable[tuple[bytes, bytes]], float], TraceContext]
"""Takes the headers of a request, and how many seconds ago it was received."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What only a trace shows of an exchange. Times are seconds since it was received, None for what did not happen.

    Where several ways were tried they are those of the last one.
    """

    context: TraceContext
    is_stream: bool
    queued_at_s: float | None
    """It began to wait for a turn."""
    turn_at_s: float | None
    sent_at_s: float | None
    accepted_at_s: float | None
    """Runpod took the job."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange is over: everything that is known of it. Unknown is None; unknown labels are empty."""

    request_id: str
    outcome: Outcome
    status: int
    reason: str | None
    """The code of the error, from our own list."""
    error: str | None
    """Which error it was, for the operator; nothing that a worker or a client wrote."""
    tenant: str
    model: str
    endpoint: str
    route: str
    job_id: str | None
    key_id: str
    """The public id of the key; of a key that was rejected too."""
    key_label: str | None
    attempts: int
    """How often it was handed to an endpoint."""
    duration_s: float
    """To the last byte of the answer, or to the failure."""
    queue_s: float | None
    upstream_delay_s: float | None
    first_chunk_s: float | None
    gpu_s: float | None
    """GPU seconds of all its attempts until now; None if it was not handed to an endpoint."""
    is_gpu_estimate: bool = False
    """Whether those of an attempt are not final yet."""
    execution_s: float | None
    """How long workers ran for it by Runpod's account, as far as that is known; all attempts together."""
    usage: Usage | None
    chunks: int
    replacement_characters: int
    trace: Trace | None = None
    """None where it is not traced."""


class StateStoreChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The store that replicas share was lost, or found again."""

    is_up: bool
    reason: str
    """What failed, by name."""
    policy: str
    """What is done while it is lost."""


class ReplicaOvertaken(msgspec.Struct, frozen=True, kw_only=True):
    """Another process that began later has this one's name in the store, and lives."""

    replica: str


class JournalChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The journal of open jobs could not be written, or can be written again."""

    is_up: bool
    reason: str
    """What failed, by name."""


class RecordsUnreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Report that records in the shared store were of another version, or damaged, and were skipped."""

    kind: RecordKind
    count: int


class EndpointChanged(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint failed so often that it is given a rest, or took work again."""

    endpoint: str
    is_down: bool
    reason: str
    """The last failure, by name."""


class Reload(StrEnum):
    """What became of a configuration that was read anew."""

    TAKEN = "taken"
    REFUSED = "refused"
    """The one before goes on."""
    UNCHANGED = "unchanged"


class ConfigRead(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration was read anew while serving."""

    outcome: Reload
    at_s: float
    """Seconds since 1970."""
    changes: list[str] = []
    """What was taken, by its place in the file."""
    problems: list[str] = []
    """Why it was refused."""


class ClientRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a client was refused before there was an exchange that could."""

    reason: Refusal
    request_id: str
    """The id of the answer; empty where there was none."""
    at_s: float
    """Monotonic seconds."""
    key_id: str = ""
    """The public id of the rejected key."""


class Broke(msgspec.Struct, frozen=True, kw_only=True):
    """A bug of ours: an exception that nobody foresaw."""

    request_id: str
    error: Exception


class TaskFailed(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a background task failed, which is a bug of the gateway."""

    task: str
    error: Exception
    restart_s: float | None
    """The seconds until it runs again; None where it is given up, and the process ends."""


Event = (
    Admitted
    | Broke
    | ClientRefused
    | ConfigRead
    | EndpointChanged
    | JournalChanged
    | RecordsUnreadable
    | ReplicaOvertaken
    | StateStoreChanged
    | UpstreamCalled
    | JobCancelled
    | JobEnded
    | GpuTimeSettled
    | FirstChunk
    | Settled
    | TaskFailed
)
Observer = Callable[[Event], None]
