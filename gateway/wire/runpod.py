"""Runpod's job API as it is written on the wire.

Tolerant: unknown fields are ignored, every optional field has a default.

Source: the Runpod documentation's operation reference, its SDKs, and recordings of the live service.
"""

from enum import StrEnum

import msgspec
from msgspec import Raw

from gateway.wire.items import ItemCount
from gateway.wire.openai import Parts

UNCOUNTED_BYTES = 64 * 1024
"""The size of a page from which its outputs are counted: fewer do not matter, and counting costs time."""
JOB_S_MAX = 8 * 86400.0
"""No job lives longer: Runpod takes a ttl of seven days at most. Tenants are charged by these times."""


class JobState(StrEnum):
    """The states of a job. RUNNING is documented but was never seen; it means IN_PROGRESS."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    UNKNOWN = "UNKNOWN"
    """Any word we do not know yet. Never terminal: our own deadlines bound it."""

    @classmethod
    def _missing_(cls, _value: object) -> "JobState":
        return cls.UNKNOWN

    @property
    def is_terminal(self) -> bool:
        """Whether the job will never change again, short of /retry."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT})


class JobPolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The `policy` of a submission, in milliseconds as Runpod counts them."""

    execution_timeout: int | None = None
    ttl: int | None = None


class JobSubmission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of /run and /runsync."""

    input: Raw
    policy: JobPolicy | None = None


def submission(job_input: Parts, policy: JobPolicy | None) -> Parts:
    """Encode a `JobSubmission` around an input that is encoded already, without a copy of it."""
    ending = b"}" if policy is None else b',"policy":' + msgspec.json.encode(policy) + b"}"
    return b'{"input":', *job_input, ending


class JobAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /run. Ids are opaque; they carry a region suffix and are not UUIDs."""

    id: str = ""
    status: str = ""


class StreamItem(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a worker yielded, exactly as it yielded it."""

    output: Raw = Raw()


class StreamPage(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of /stream: what was yielded since the last one, handed out once only."""

    status: str = ""
    stream: list[StreamItem] | None = None
    error: Raw = Raw()

    @property
    def state(self) -> JobState:
        """The job's state; UNKNOWN where the page carries none."""
        return JobState(self.status)

    @property
    def outputs(self) -> list[Raw]:
        """The yielded values, in order."""
        return [item.output for item in self.stream or () if bytes(item.output)]


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of /status, /runsync and /cancel."""

    id: str = ""
    status: str = ""
    output: Raw = Raw()
    error: Raw = Raw()
    delay_time: float | None = None
    """Milliseconds in the queue; counted anew when the job is dispatched again."""
    execution_time: float | None = None
    """Milliseconds on a worker; known at the end."""
    worker_id: str | None = None
    retries: int | None = None

    @property
    def state(self) -> JobState:
        """The job's state."""
        return JobState(self.status)

    @property
    def delay_s(self) -> float | None:
        """Seconds in the queue."""
        return _seconds(self.delay_time)

    @property
    def execution_s(self) -> float | None:
        """Seconds on a worker."""
        return _seconds(self.execution_time)


def _seconds(milliseconds: float | None) -> float | None:
    """None where no time is told, or one that cannot be true."""
    if milliseconds is None or not milliseconds <= 1000 * JOB_S_MAX:
        return None
    return max(0.0, milliseconds / 1000)


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /health. The documentation shows two kinds of workers, the live service six: open maps."""

    jobs: dict[str, int] = {}
    workers: dict[str, int] = {}


_page = msgspec.json.Decoder(StreamPage)
_bare_page = msgspec.json.Decoder(list[StreamItem])
_count = ItemCount()


class _CountedItem(StreamItem, frozen=True, kw_only=True):
    def __post_init__(self) -> None:
        _count.add()


class _CountedPage(StreamPage, frozen=True, kw_only=True):
    stream: list[_CountedItem] | None = None  # type: ignore[assignment]  # read, and never written.


_counted_page = msgspec.json.Decoder(_CountedPage)
_counted_bare_page = msgspec.json.Decoder(list[_CountedItem])

decode_accepted = msgspec.json.Decoder(JobAccepted, strict=False).decode
decode_status = msgspec.json.Decoder(JobStatus, strict=False).decode
decode_health = msgspec.json.Decoder(EndpointHealth, strict=False).decode


def decode_page(body: bytes | bytearray) -> StreamPage:
    """Read one /stream answer.

    An older page of the documentation shows a bare array instead of the object. It carries no status, so its end
    has to be asked of /status.

    Raises:
        TooManyItemsError: It holds too many outputs.
        msgspec.DecodeError: The body is neither.
    """
    is_bare = body[:64].lstrip()[:1] == b"["
    if len(body) <= UNCOUNTED_BYTES:
        return StreamPage(stream=_bare_page.decode(body)) if is_bare else _page.decode(body)
    with _count.bounded():
        if is_bare:
            return StreamPage(stream=list(_counted_bare_page.decode(body)))
        return _counted_page.decode(body)
