"""Describe the calls of Runpod's job API: submit, read pages, read the status, cancel, and read the health.

Pages and statuses are read with POST, which the documentation allows beside GET: reading a page consumes its outputs,
and an HTTP client may repeat a GET by itself when a kept connection turns out to be closed.
"""

import math
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import AnswersFullError, BodyTooLargeError, GatewayError, OutputLostError, UnreachableError
from gateway.fairshare.memory_shares import MemoryReservation
from gateway.translate.job_stream import TOO_MANY_OUTPUTS
from gateway.upstream.client import EndpointClient
from gateway.upstream.failures import job_call_failure
from gateway.upstream.reply import REPLY_BYTES_MAX, TOO_LARGE, Hold, Reply, bounded
from gateway.upstream.request import UpstreamRequest
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


def run_request(
    job_input: Parts, *, policy: runpod.JobPolicy | None = None, traceparent: str | None = None
) -> UpstreamRequest:
    """Return POST /run with the input in parts, which are not copied.

    Raises:
        BodyTooLargeError: The job is larger than Runpod accepts.
    """
    body = runpod.submission(job_input, policy)
    if sum(map(len, body)) > JOB_BODY_BYTES_MAX:
        raise BodyTooLargeError(JOB_BODY_BYTES_MAX)
    return UpstreamRequest(
        path="/run", body=body, read_timeout_s=CALL_TIMEOUT_S, total_s_max=CALL_TIMEOUT_S, traceparent=traceparent
    )


def page_request(job_id: str, *, wait_s: float, timeout_s: float = math.inf) -> UpstreamRequest:
    """Return POST /stream/{id}, which reads the outputs since the last one, or waits `wait_s` seconds for some.

    The whole page has to arrive within `timeout_s`, and within the maximum of a long poll.
    """
    path = f"/stream/{quote(job_id, safe='')}?wait={max(1000, int(wait_s * 1000))}"
    # A stream is read page by page, each with the timeout of a long poll.
    timeout_s = min(timeout_s, wait_s + POLL_MARGIN_S)
    return UpstreamRequest(path=path, read_timeout_s=timeout_s, total_s_max=timeout_s)


def status_request(job_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> UpstreamRequest:
    """Return POST /status/{id}."""
    return _short(f"/status/{quote(job_id, safe='')}", timeout_s=timeout_s)


def _short(path: str, method: str = "POST", *, timeout_s: float = CALL_TIMEOUT_S) -> UpstreamRequest:
    return UpstreamRequest(method=method, path=path, read_timeout_s=timeout_s, total_s_max=timeout_s)


def accepted_id(reply: Reply) -> str:
    """Return the job's id from the reply to /run.

    Raises:
        UpstreamError: It was not accepted, or it is unknown whether it was.
    """
    accepted = _decoded(reply, runpod.decode_accepted, has_job=False)
    if not _JOB_ID.fullmatch(accepted.id):
        raise UnreachableError("no job id", was_sent=True, status=reply.status, is_outage=True)
    return accepted.id


def page_of(reply: Reply) -> runpod.StreamPage:
    """Return the page of the reply to /stream.

    Raises:
        OutputLostError: It has too many outputs.
        UpstreamError: The call failed, or the page is malformed.
    """
    return _decoded(reply, runpod.decode_page, has_job=True)


def status_of(reply: Reply) -> runpod.JobStatus:
    """Return the status of the reply to /status or /cancel; errors as for a page."""
    return _decoded(reply, runpod.decode_status, has_job=True)


class JobApi:
    """Make the calls of one endpoint that no client waits for."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    async def read_status(self, job_id: str) -> runpod.JobStatus:
        """Read the state and the times of a job; its outputs are dropped."""
        return status_of(await self._read(status_request(job_id)))

    async def cancel(self, job_id: str) -> runpod.JobStatus:
        """POST /cancel/{id}."""
        return status_of(await self._read(_short(f"/cancel/{quote(job_id, safe='')}")))

    async def read_health(self) -> runpod.EndpointHealth:
        """GET /health, which is answered without a worker and does not start one."""
        reply = await self._client.call(_short("/health", "GET"), hold_little)
        return _decoded(reply, runpod.decode_health, has_job=False)

    async def _read(self, request: UpstreamRequest) -> Reply:
        """Make a call whose reply may hold outputs.

        Raises:
            AnswersFullError: There is no room for them.
            OutputLostError: They are too large.
            UnreachableError: The reply did not arrive, or is incomplete.
        """
        reservation = MemoryReservation(self._client.answers, "")
        try:
            return await self._client.call(request, counted(reservation))
        except UnreachableError as error:
            raise reply_failure(error) from error.__cause__
        finally:
            reservation.leave()


def reply_failure(error: UnreachableError) -> GatewayError:
    """Return the error for a reply with outputs that was not read: for one that is too large, their loss."""
    if error.reason is not TOO_LARGE:
        return error
    lost = OutputLostError(TOO_LARGE_OUTPUTS)
    lost.__cause__ = error
    return lost


def counted(reservation: MemoryReservation) -> Hold:
    """Return a callback that counts a reply in a reservation, unless it is small."""

    def hold(size: int) -> None:
        if size > UNCOUNTED_BYTES and not reservation.hold(size):
            raise AnswersFullError(retry_after_s=RETRY_S)

    return hold


def hold_little(size: int) -> None:
    """Limit a reply without outputs."""
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
