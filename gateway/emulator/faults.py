"""What can be made to go wrong, each by its own switch, and the countdowns of those that happen a number of times."""

from enum import StrEnum
from typing import Literal

import msgspec


class FailWith(StrEnum):
    """How a scripted job ends badly. The first four are the four ways in which Runpod writes `error`."""

    NOTHING = ""
    GENERATOR = "generator"
    """A generator handler raised: "handler: ... \\ntraceback: ...". runpod-python 1.12 rp_job.py."""
    HANDLER = "handler"
    """A plain handler raised: a JSON string with the type, the message and the traceback. Same file."""
    YIELDED = "yielded"
    """The handler yielded {"error": X}: Python's repr of X. Same file."""
    GENERATOR_LOGS = "generator_logs"
    """`generator` of a worker that captures its output (RUNPOD_LOG_CAPTURE=all): the text ends in "\nlogs:\n" and up to
    16 KiB of stdout, here with the prompt. runpod-python 2.0.0rc2 rp_job.py and rp_capture.py."""
    HANDLER_LOGS = "handler_logs"
    """`handler` of such a worker: the JSON has `logs` too. Same files."""
    PRESTART_FAILED = "prestart_failed"
    """A prestart hook raised or took too long: a JSON string with `event`, `hook` and `logs`; every job that the worker
    holds fails with it, no handler ran, and the worker exits. runpod-python 2.0.0rc2 rp_prestart.py and rp_scale.py."""
    PRESTART_CANCELLED = "prestart_cancelled"
    """The worker was stopped while a prestart hook ran: a JSON string with `event`, without `hook`. Same files."""
    PLATFORM = "platform"
    """Runpod's own words, "job timed out after N retries", from a recording of the live service."""
    VLLM_HTTP = "vllm_http"
    """worker-vllm 2.24 and newer: vLLM answered 4xx or 5xx; the repr of a dict that embeds the status and the JSON."""
    VLLM_DIED = "vllm_died"
    """worker-vllm 2.24 and newer: vLLM went away in mid-stream."""
    ERROR_EVENT = "error_event"
    """The job is COMPLETED, and an error event followed by [DONE] ends its stream."""
    FLAT_ERROR = "flat_error"
    """The job is COMPLETED, and its output is the flat error object of worker-vllm before 2.12.1."""
    NO_OUTPUT = "no_output"
    """The job is COMPLETED and has no output: the result was too large or got lost. runpod-python issue 309."""


PRESTART_ENDS = frozenset({FailWith.PRESTART_FAILED, FailWith.PRESTART_CANCELLED})
"""No handler of the job ran: there are no outputs."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every fault, off by default. Counts are per emulator, unless a line says otherwise."""

    cold_start_s: float = 0.0
    """How long a scripted worker takes to start. It starts with the first job, and again after this is changed."""
    workers_down: Literal["", "throttled", "unhealthy", "absent"] = ""
    """No worker takes a job; /health shows the workers as throttled or unhealthy, or shows none."""

    fail_with: FailWith = FailWith.NOTHING
    fail_status: int = 400
    """The HTTP status that vLLM gave, for `vllm_http`, `error_event` and `flat_error`."""
    fail_after_outputs: int = 0
    """How many outputs are yielded before the failure."""
    fail_jobs: int = 0
    """How many jobs fail; 0 means every one."""

    worker_deaths: int = 0
    """How many dispatches of each job end with the death of its worker."""
    death_after_outputs: int = 1
    redispatch_delay_s: float = 0.0
    """How long the platform takes to notice a death and to queue the job again."""

    late_cancel_s: float = 0.0
    """How long a running job goes on, and yields, after /cancel was answered."""
    queue_timeout_s: float = 0.0
    """After this long in the queue a job is TIMED_OUT; 0 means never."""

    lost_replies: int = 0
    """How many replies are lost after their effect: the connection closes before the body."""
    lost_after: int = 0
    """How many replies pass before the first one is lost."""
    lost_operations: tuple[str, ...] = ("stream",)
    """Which operations lose replies. A /stream reply only counts when it carries outputs."""

    refused_calls: int = 0
    """How many calls are answered with `refused_status` instead."""
    refused_status: int = 429
    """429 and 500 have a JSON body; 502, 503, 504 and 520 to 530 have HTML, as from the edge in front of Runpod."""
    refused_operations: tuple[str, ...] = ()
    """Which operations are refused; empty means the job API."""
    refused_after_effect: bool = False
    """Carry the call out first: the job is submitted, and the caller is told 502."""

    reply_delay_s: float = 0.0
    """Added to every reply of the job API: the distance to the data centre."""

    slice_bytes: int = 0
    """Cut the text of raw event streams every so many bytes; 1 is every byte. Characters stay whole."""
    cut_characters: bool = False
    """Let those cuts go through characters, which then arrive as U+FFFD, as worker-vllm's decoding leaves them."""


class FaultPlan:
    """The faults in force, and how often the counted ones have still to happen."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._start_counting()

    def replace(self, faults: Faults) -> None:
        """Put other faults in force; the counts begin anew."""
        self.faults = faults
        self._start_counting()

    def _start_counting(self) -> None:
        self._refusals_left = self.faults.refused_calls
        self._losses_left = self.faults.lost_replies
        self._passes_left = self.faults.lost_after
        self._failures_left = self.faults.fail_jobs

    def refusal(self, operation: str, *, is_job_api: bool) -> int | None:
        """The HTTP status to refuse this call with, or None. Counts one refusal."""
        if not self._refusals_left:
            return None
        named = self.faults.refused_operations
        if operation not in named if named else not is_job_api:
            return None
        self._refusals_left -= 1
        return self.faults.refused_status

    def loses(self, operation: str) -> bool:
        """Whether the reply that is about to be sent is lost. Counts one reply."""
        if not self._losses_left or operation not in self.faults.lost_operations:
            return False
        if self._passes_left:
            self._passes_left -= 1
            return False
        self._losses_left -= 1
        return True

    def failure(self) -> FailWith:
        """How the job that starts now will fail. Counts one job."""
        if self.faults.fail_with is FailWith.NOTHING or not self.faults.fail_jobs:
            return self.faults.fail_with
        if not self._failures_left:
            return FailWith.NOTHING
        self._failures_left -= 1
        return self.faults.fail_with
