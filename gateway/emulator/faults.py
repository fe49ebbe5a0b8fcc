"""Define the faults, each with its own switch, and count down those that happen a limited number of times."""

from enum import StrEnum
from typing import Literal

import msgspec


class FailWith(StrEnum):
    """Name the failures of a scripted job. GENERATOR to PLATFORM are the forms in which Runpod writes `error`."""

    NOTHING = ""
    GENERATOR = "generator"
    """A generator handler raised: "handler: ... \\ntraceback: ...". runpod-python 1.12 rp_job.py."""
    HANDLER = "handler"
    """A plain handler raised: a JSON string with the type, the message and the traceback. Same file."""
    YIELDED = "yielded"
    """The handler yielded {"error": X}: Python's repr of X. Same file."""
    GENERATOR_LOGS = "generator_logs"
    """Like `generator`, from a worker that captures its output (RUNPOD_LOG_CAPTURE=all): the text ends in "\nlogs:\n"
    and up to 16 KiB of stdout, here with the prompt. runpod-python 2.0.0rc2 rp_job.py and rp_capture.py."""
    HANDLER_LOGS = "handler_logs"
    """Like `handler`, from such a worker: the JSON also has `logs`. Same files."""
    PRESTART_FAILED = "prestart_failed"
    """A prestart hook raised or timed out: a JSON string with `event`, `hook` and `logs`; all jobs that the worker
    holds fail with it, no handler runs, and the worker exits. runpod-python 2.0.0rc2 rp_prestart.py and rp_scale.py."""
    PRESTART_CANCELLED = "prestart_cancelled"
    """The worker was stopped while a prestart hook ran: a JSON string with `event`, without `hook`. Same files."""
    PLATFORM = "platform"
    """Runpod's own error text, "job timed out after N retries", from a recording of the live service."""
    VLLM_HTTP = "vllm_http"
    """worker-vllm 2.24 and newer: vLLM answered 4xx or 5xx; the repr of a dict that has the status and the JSON."""
    VLLM_DIED = "vllm_died"
    """worker-vllm 2.24 and newer: vLLM died in mid-stream."""
    ERROR_EVENT = "error_event"
    """The job is COMPLETED, and an error event followed by [DONE] ends its stream."""
    FLAT_ERROR = "flat_error"
    """The job is COMPLETED, and its output is the flat error object of worker-vllm before 2.12.1."""
    NO_OUTPUT = "no_output"
    """The job is COMPLETED without output: the result was too large or lost. runpod-python issue 309."""


PRESTART_ENDS = frozenset({FailWith.PRESTART_FAILED, FailWith.PRESTART_CANCELLED})
"""Failures in which no handler of the job ran: there are no outputs."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold the faults, all off by default. Counts are per emulator unless stated otherwise."""

    cold_start_s: float = 0.0
    """Seconds until a scripted worker is up. It starts with the first job, and again after this value changes."""
    workers_down: Literal["", "throttled", "unhealthy", "absent"] = ""
    """No worker takes a job; /health shows the workers as throttled or unhealthy, or shows none."""

    fail_with: FailWith = FailWith.NOTHING
    fail_status: int = 400
    """HTTP status of vLLM's error, for `vllm_http`, `error_event`, `flat_error` and `yielded`."""
    fail_after_outputs: int = 0
    """Number of outputs before the failure."""
    fail_jobs: int = 0
    """Number of jobs that fail; 0 means all."""

    worker_deaths: int = 0
    """Number of dispatches of each job that end with the death of its worker."""
    death_after_outputs: int = 1
    redispatch_delay_s: float = 0.0
    """Seconds until the platform notices a death and queues the job again."""

    late_cancel_s: float = 0.0
    """Seconds for which a running job goes on, and yields, after /cancel was answered."""
    queue_timeout_s: float = 0.0
    """Seconds in the queue after which a job is TIMED_OUT; 0 means never."""

    lost_replies: int = 0
    """Number of replies lost after their effect: the connection closes before the body."""
    lost_after: int = 0
    """Number of replies sent before the first one is lost."""
    lost_operations: tuple[str, ...] = ("stream",)
    """Operations that lose replies. A /stream reply counts only if it carries outputs."""

    refused_calls: int = 0
    """Number of calls answered with `refused_status` instead."""
    refused_status: int = 429
    """429 and 500 have a JSON body; 502, 503, 504 and 520 to 530 have HTML, as from the edge in front of Runpod."""
    refused_operations: tuple[str, ...] = ()
    """Operations that are refused; empty means the whole job API."""
    refused_after_effect: bool = False
    """Execute the call before refusing it: the job is submitted, but the client receives `refused_status`."""

    reply_delay_s: float = 0.0
    """Seconds added to every reply of the job API, to emulate the network distance to the data centre."""

    slice_bytes: int = 0
    """Bytes after which the text of raw event streams is cut, between characters; 0 leaves the cuts to `slices`."""
    cut_characters: bool = False
    """Allow cuts inside characters, which then arrive as U+FFFD, as after worker-vllm's decoding."""


class FaultPlan:
    """Hold the active faults and the remaining counts of the limited ones."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._start_counting()

    def replace(self, faults: Faults) -> None:
        """Replace the faults and restart their counts."""
        self.faults = faults
        self._start_counting()

    def _start_counting(self) -> None:
        self._refusals_left = self.faults.refused_calls
        self._losses_left = self.faults.lost_replies
        self._passes_left = self.faults.lost_after
        self._failures_left = self.faults.fail_jobs

    def refusal(self, operation: str, *, is_job_api: bool) -> int | None:
        """Return the HTTP status to refuse this call with, or None. Each refusal is counted."""
        if not self._refusals_left:
            return None
        named = self.faults.refused_operations
        if operation not in named if named else not is_job_api:
            return None
        self._refusals_left -= 1
        return self.faults.refused_status

    def loses(self, operation: str) -> bool:
        """Return True if the reply about to be sent is to be lost. Each reply is counted."""
        if not self._losses_left or operation not in self.faults.lost_operations:
            return False
        if self._passes_left:
            self._passes_left -= 1
            return False
        self._losses_left -= 1
        return True

    def failure(self) -> FailWith:
        """Return the failure of the job that starts now. Each failure is counted."""
        if self.faults.fail_with is FailWith.NOTHING or not self.faults.fail_jobs:
            return self.faults.fail_with
        if not self._failures_left:
            return FailWith.NOTHING
        self._failures_left -= 1
        return self.faults.fail_with
