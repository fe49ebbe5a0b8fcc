"""Parse and encode Runpod's job API.

Parsing is tolerant: unknown fields are ignored, and every optional field has a default.

Source: the Runpod documentation's operation reference, its SDKs, and recordings of the live service.
"""

from enum import StrEnum

import msgspec
from msgspec import Raw

from gateway.wire.items import ItemCount
from gateway.wire.openai import Parts

UNCOUNTED_BYTES = 64 * 1024
"""Maximum size in bytes of a page whose outputs are not counted: it cannot hold a harmful number, and counting costs
time."""
JOB_S_MAX = 8 * 86400.0
"""Maximum plausible lifetime of a job in seconds: Runpod accepts a ttl of at most seven days. Tenants are charged by
these times."""


class JobState(StrEnum):
    """Represent the state of a job. RUNNING is documented but was never observed; it means IN_PROGRESS."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    UNKNOWN = "UNKNOWN"
    """Any other word. Never terminal: the gateway's own deadlines limit it."""

    @classmethod
    def _missing_(cls, _value: object) -> "JobState":
        return cls.UNKNOWN

    @property
    def is_terminal(self) -> bool:
        """Return True if the job will never change again, except by /retry."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT})


class JobPolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Represent the `policy` of a submission, in milliseconds as in Runpod's API."""

    execution_timeout: int | None = None
    ttl: int | None = None


class JobSubmission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Represent the body of /run and /runsync."""

    input: Raw
    policy: JobPolicy | None = None


def submission(job_input: Parts, policy: JobPolicy | None) -> Parts:
    """Encode a `JobSubmission` around an already encoded input, without copying it."""
    ending = b"}" if policy is None else b',"policy":' + msgspec.json.encode(policy) + b"}"
    return b'{"input":', *job_input, ending


class JobAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the answer of /run. Ids are opaque; they carry a region suffix and are not UUIDs."""

    id: str = ""
    status: str = ""


class StreamItem(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one value that a worker yielded, exactly as it was yielded."""

    output: Raw = Raw()


class StreamPage(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one answer of /stream: the outputs since the previous page. Each output is delivered only once."""

    status: str = ""
    stream: list[StreamItem] | None = None
    error: Raw = Raw()

    @property
    def state(self) -> JobState:
        """Return the job's state, or UNKNOWN if the page carries none."""
        return JobState(self.status)

    @property
    def outputs(self) -> list[Raw]:
        """Return the yielded values, in order."""
        return [item.output for item in self.stream or () if bytes(item.output)]


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Represent the answer of /status, /runsync and /cancel."""

    id: str = ""
    status: str = ""
    output: Raw = Raw()
    error: Raw = Raw()
    delay_time: float | None = None
    """Milliseconds in the queue; restarts from zero when the job is dispatched again."""
    execution_time: float | None = None
    """Milliseconds on a worker; known when the job ends."""
    worker_id: str | None = None
    retries: int | None = None

    @property
    def state(self) -> JobState:
        """Return the job's state."""
        return JobState(self.status)

    @property
    def delay_s(self) -> float | None:
        """Return the seconds in the queue, or None if they are missing or implausible."""
        return _seconds(self.delay_time)

    @property
    def execution_s(self) -> float | None:
        """Return the seconds on a worker, or None if they are missing or implausible."""
        return _seconds(self.execution_time)


def _seconds(milliseconds: float | None) -> float | None:
    """Convert milliseconds to seconds; return None if missing or above `JOB_S_MAX`, and 0 if negative."""
    if milliseconds is None or not milliseconds <= 1000 * JOB_S_MAX:
        return None
    return max(0.0, milliseconds / 1000)


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the answer of /health.

    The maps are open: the documentation shows two worker states, the live service six.
    """

    jobs: dict[str, int] = {}
    workers: dict[str, int] = {}


_page = msgspec.json.Decoder(StreamPage)
_bare_page = msgspec.json.Decoder(list[StreamItem])
_count = ItemCount()


class _CountedItem(StreamItem, frozen=True, kw_only=True):
    def __post_init__(self) -> None:
        _count.add()


class _CountedPage(StreamPage, frozen=True, kw_only=True):
    stream: list[_CountedItem] | None = None  # type: ignore[assignment]  # Only read, never assigned.


_counted_page = msgspec.json.Decoder(_CountedPage)
_counted_bare_page = msgspec.json.Decoder(list[_CountedItem])

decode_accepted = msgspec.json.Decoder(JobAccepted, strict=False).decode
decode_status = msgspec.json.Decoder(JobStatus, strict=False).decode
decode_health = msgspec.json.Decoder(EndpointHealth, strict=False).decode


def decode_page(body: bytes | bytearray) -> StreamPage:
    """Decode one /stream answer.

    An older page of the documentation shows a bare array instead of the object. It carries no status, so the caller has
    to ask /status for the end of the job.

    Raises:
        TooManyItemsError: The page holds too many outputs.
        msgspec.DecodeError: The body is neither.
    """
    is_bare = body[:64].lstrip()[:1] == b"["
    if len(body) <= UNCOUNTED_BYTES:
        return StreamPage(stream=_bare_page.decode(body)) if is_bare else _page.decode(body)
    with _count.bounded():
        if is_bare:
            return StreamPage(stream=list(_counted_bare_page.decode(body)))
        return _counted_page.decode(body)
