"""Define the events that are counted, logged and traced. An observer must not raise and must not wait.

The labels (tenant, model, endpoint) come from the configuration; no event holds a prompt, a completion or a key.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from gateway.admission.lease_store import RecordKind
from gateway.connection_limits import Refusal
from gateway.domain import Attempt, Operation, Usage
from gateway.errors import ConnectFault
from gateway.translate.client_formats.contract import ClientFormat
from gateway.wire.traceparent import TraceParent


class Outcome(StrEnum):
    """Name the outcome of an exchange."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    """The request was invalid."""
    REFUSED = "refused"
    """There was no capacity, or the tenant reached one of its limits."""
    UPSTREAM_FAILED = "upstream_failed"
    CLIENT_LEFT = "client_left"
    CUT = "cut"
    """The gateway ended it at shutdown."""
    BROKEN = "broken"
    """A bug in the gateway."""


class CallOutcome(StrEnum):
    """Name the outcome of one call to Runpod."""

    OK = "ok"
    BUSY = "busy"
    """429."""
    GONE = "gone"
    """404: the job is not known any more."""
    FAILED = "failed"
    LOST = "lost"
    """The call was sent, and its reply was lost."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a request was granted a permit."""

    tenant: str
    endpoint: str
    wait_s: float


class UpstreamCalled(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a call to Runpod ended."""

    endpoint: str
    operation: Operation
    outcome: CallOutcome
    fault: ConnectFault | None = None
    """Reason for which no connection could be opened; None if it is not known, or if there was a connection."""


class JobCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the cancel of a job ended, whether or not it was successful."""

    attempt: Attempt
    outcome: CallOutcome
    is_orphan: bool
    """True if the job was left by a process that is dead."""
    gpu_s: float
    """GPU seconds that it used before its end."""
    execution_s: float | None
    """Seconds for which it ran, as reported by Runpod; None if not reported."""
    saved_s: float
    """Estimate of the GPU seconds that the cancel saved, from the tenant's other requests."""


class JobEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a job is not read any more, answered or not, with its times as far as Runpod has reported them."""

    attempt: Attempt
    execution_s: float | None
    delay_s: float | None


class GpuTimeSettled(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the GPU seconds of an attempt are final; sent once for each attempt."""

    attempt: Attempt
    gpu_s: float | None
    """GPU seconds; None if they are unknown: the reply to its submission was lost with its id, and it may have run."""
    execution_s: float | None = None
    """Seconds for which it ran, as reported by Runpod; None if not known by now."""


class FirstChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the first output is sent to the client."""

    request_id: str
    model: str
    route: str
    after_s: float


class TraceContext(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the position of an exchange in a trace that may span several services."""

    client_format: ClientFormat
    own: TraceParent
    parent: TraceParent | None
    """The caller's span, if it sent one."""
    received_at_s: float
    """Unix time in seconds."""


BeginTrace = Callable[[ClientFormat, Iterable[tuple[bytes, bytes]], float], TraceContext]
"""Function of the client format, the headers of a request, and the number of seconds since it was received."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what only a trace shows of an exchange. Times are seconds since it was received, None if it did not happen.

    If several endpoints or routes were tried, they are the times of the last one.
    """

    context: TraceContext
    is_stream: bool
    queued_at_s: float | None
    """Time at which it began to wait for a permit."""
    turn_at_s: float | None
    sent_at_s: float | None
    accepted_at_s: float | None
    """Time at which Runpod accepted the job."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Report that an exchange ended, with everything known about it. Unknown values are None, unknown labels empty."""

    request_id: str
    outcome: Outcome
    status: int
    reason: str | None
    """Code of the error, from the gateway's own list."""
    error: str | None
    """Name of the error, for the operator; it contains nothing that a worker or a client wrote."""
    tenant: str
    model: str
    endpoint: str
    route: str
    job_id: str | None
    key_id: str
    """Public id of the key, even if the key was rejected."""
    key_label: str | None
    attempts: int
    """Number of times that it was sent to an endpoint."""
    duration_s: float
    """Seconds to the last byte of the answer, or to the failure."""
    queue_s: float | None
    upstream_delay_s: float | None
    first_chunk_s: float | None
    gpu_s: float | None
    """GPU seconds of all its attempts so far; None if it was not sent to an endpoint."""
    is_gpu_estimate: bool = False
    """True if the GPU seconds of an attempt are not final yet."""
    execution_s: float | None
    """Seconds for which workers ran for it as reported by Runpod, as far as known; the sum over all attempts."""
    usage: Usage | None
    chunks: int
    replacement_characters: int
    trace: Trace | None = None
    """None if the exchange is not traced."""


class StateStoreChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the store that replicas share became unreachable, or reachable again."""

    is_up: bool
    reason: str
    """Name of the failure."""
    policy: str
    """Name of the policy that applies while the store is unreachable."""


class ReplicaOvertaken(msgspec.Struct, frozen=True, kw_only=True):
    """Report that another live process, which started later, has this one's name in the store."""

    replica: str


class JournalChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the journal of open jobs could not be written, or can be written again."""

    is_up: bool
    reason: str
    """Name of the failure."""


class RecordsUnreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Report that records in the shared store were of another version, or damaged, and were skipped."""

    kind: RecordKind
    count: int


class EndpointChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Report that an endpoint's breaker opened after failures, or closed again."""

    endpoint: str
    is_down: bool
    reason: str
    """Name of the last failure."""


class Reload(StrEnum):
    """Name the outcome of reloading the configuration."""

    TAKEN = "taken"
    REFUSED = "refused"
    """The previous configuration stays in use."""
    UNCHANGED = "unchanged"


class ConfigRead(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the configuration was reloaded while serving."""

    outcome: Reload
    at_s: float
    """Unix time in seconds."""
    changes: list[str] = []
    """Changes that were applied, by their place in the configuration file."""
    problems: list[str] = []
    """Reasons for the refusal."""


class ClientRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a client was refused before an exchange existed that could report it."""

    reason: Refusal
    request_id: str
    """Id of the response; empty if there was none."""
    at_s: float
    """Monotonic seconds."""
    key_id: str = ""
    """Public id of the rejected key."""


class Broke(msgspec.Struct, frozen=True, kw_only=True):
    """Report an unexpected exception: a bug in the gateway."""

    request_id: str
    error: Exception


class TaskFailed(msgspec.Struct, frozen=True, kw_only=True):
    """Report that a background task failed, which is a bug in the gateway."""

    task: str
    error: Exception
    restart_s: float | None
    """Seconds until it runs again; None if it is given up, and the process ends."""


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
