"""Call Runpod's job API: submit, read pages, read the status, cancel, and read the endpoint's health.

Pages and statuses are read with POST, which the documentation allows beside GET: reading a page consumes its outputs,
and an HTTP client may repeat a GET by itself when a kept connection turns out to be closed.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import AnswersFullError, BodyTooLargeError, OutputLostError, UnreachableError
from gateway.fairshare.memory_shares import MemoryReservation
from gateway.translate.job_stream import TOO_MANY_OUTPUTS
from gateway.upstream.client import REPLY_BYTES_MAX, TOO_LARGE, EndpointClient, Hold, Reply, bounded
from gateway.upstream.failures import job_call_failure
from gateway.wire import runpod
from gateway.wire.items import TooManyItemsError
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Parts

CALL_TIMEOUT_S = 30.0
"""Maximum seconds of a whole call that is answered at once, however slowly its reply arrives."""
SMALL_REPLY_BYTES_MAX = 1024 * 1024
"""Maximum size of a reply without outputs."""
UNCOUNTED_BYTES = 64 * 1024
"""Size up to which an answer is not counted: most are smaller, and a connection's buffer is as large."""
RETRY_S = 1.0
POLL_MARGIN_S = 15.0
"""Seconds that a long poll may take beyond its wait: the service holds an empty page for about 10 s regardless of the
wait."""
TOO_LARGE_OUTPUTS = (
    f"The worker's answer has more than {REPLY_BYTES_MAX // 1024**2} MiB at once. Change its handler to yield smaller "
    "parts."
)

T = TypeVar("T")

_JOB_ID = re.compile(r"[\x21-\x7e]{1,256}")
"""Pattern of a job id: ids are opaque, but they are used in a header and a path."""


class JobApi:
    """Call the job API of one endpoint. Every method makes one call."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    async def submit(
        self, job_input: Parts, *, policy: runpod.JobPolicy | None = None, traceparent: str | None = None
    ) -> str:
        """POST /run with the input in parts, which are not copied; return the job's id.

        Raises:
            BodyTooLargeError: The job is larger than Runpod accepts.
            UpstreamError: It was not accepted, or it is unknown whether it was.
        """
        body = runpod.submission(job_input, policy)
        if sum(map(len, body)) > JOB_BODY_BYTES_MAX:
            raise BodyTooLargeError(JOB_BODY_BYTES_MAX)
        reply = await self._client.call(
            "POST",
            "/run",
            body=body,
            timeout_s=CALL_TIMEOUT_S,
            hold=_hold_little,
            traceparent=traceparent,
        )
        accepted = _decoded(reply, runpod.decode_accepted, has_job=False)
        if not _JOB_ID.fullmatch(accepted.id):
            raise UnreachableError("no job id", was_sent=True, status=reply.status, is_outage=True)
        return accepted.id

    async def read_page(
        self, job_id: str, *, wait_s: float, hold: Hold, timeout_s: float = math.inf
    ) -> runpod.StreamPage:
        """POST /stream/{id}: return the outputs since the last call, waiting up to `wait_s` seconds if there are none.

        The whole page has to arrive within `timeout_s`, and within the maximum of a long poll. `hold` receives its
        size, and has to account for it until its outputs are dropped.

        Raises:
            OutputLostError: The outputs are too large.
            UpstreamError: The page did not arrive, or is malformed.
        """
        path = f"/stream/{quote(job_id, safe='')}?wait={max(1000, int(wait_s * 1000))}"
        try:
            # Not through `_read`: a stream is read page by page, with the timeout of a long poll.
            reply = await self._client.call("POST", path, timeout_s=min(timeout_s, wait_s + POLL_MARGIN_S), hold=hold)
        except UnreachableError as error:
            _check_size(error)
            raise
        return _decoded(reply, runpod.decode_page, has_job=True)

    async def read_status(self, job_id: str, *, hold: Hold | None = None) -> runpod.JobStatus:
        """POST /status/{id}; `hold` as for a page. Without it, this method accounts for the reply itself."""
        reply = await self._read(f"/status/{quote(job_id, safe='')}", hold=hold)
        return _decoded(reply, runpod.decode_status, has_job=True)

    async def cancel(self, job_id: str) -> runpod.JobStatus:
        """POST /cancel/{id}."""
        reply = await self._read(f"/cancel/{quote(job_id, safe='')}")
        return _decoded(reply, runpod.decode_status, has_job=True)

    async def read_health(self) -> runpod.EndpointHealth:
        """GET /health, which is answered without a worker and does not start one."""
        reply = await self._client.call("GET", "/health", timeout_s=CALL_TIMEOUT_S, hold=_hold_little)
        return _decoded(reply, runpod.decode_health, has_job=False)

    async def _read(self, path: str, *, hold: Hold | None = None) -> Reply:
        """POST a path whose reply may hold outputs.

        Raises:
            AnswersFullError: There is no room for them.
            OutputLostError: They are too large.
            UnreachableError: The reply did not arrive, or is incomplete.
        """
        reservation = MemoryReservation(self._client.answers, "")
        try:
            hold = hold or partial(_hold, reservation)
            return await self._client.call("POST", path, timeout_s=CALL_TIMEOUT_S, hold=hold)
        except UnreachableError as error:
            _check_size(error)
            raise
        finally:
            # A caller without its own place needs only the job's state and times, and drops the outputs.
            reservation.leave()


def _check_size(error: UnreachableError) -> None:
    """Check whether a reply with outputs was not read because of its size.

    Raises:
        OutputLostError: It was too large, and would be again.
    """
    if error.reason is TOO_LARGE:
        raise OutputLostError(TOO_LARGE_OUTPUTS) from error


def _hold(reservation: MemoryReservation, size: int) -> None:
    if size > UNCOUNTED_BYTES and not reservation.hold(size):
        raise AnswersFullError(retry_after_s=RETRY_S)


def _hold_little(size: int) -> None:
    bounded(size, SMALL_REPLY_BYTES_MAX)


def _decoded(reply: Reply, decode: Callable[[bytes | bytearray], T], *, has_job: bool) -> T:
    failure = job_call_failure(reply.status, retry_after_s=reply.retry_after_s, has_job=has_job, body=reply.body)
    if failure is not None:
        raise failure
    try:
        return decode(reply.body)
    except TooManyItemsError:
        raise OutputLostError(TOO_MANY_OUTPUTS) from None
    except MALFORMED:
        # An answer arrived, so outputs in this reply are lost. Neither workers nor clients write these replies, so a
        # malformed one is not from the service.
        raise UnreachableError("malformed reply", was_sent=True, status=reply.status, is_outage=True) from None
