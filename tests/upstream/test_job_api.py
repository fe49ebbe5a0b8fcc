import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import (
    BodyTooLargeError,
    GatewayError,
    JobExpiredError,
    OutputLostError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
)
from gateway.translate.job_stream import TOO_MANY_OUTPUTS
from gateway.upstream.client import EndpointClient, make_transport
from gateway.upstream.job_api import (
    SMALL_REPLY_BYTES_MAX,
    TOO_LARGE_OUTPUTS,
    JobApi,
    accepted_id,
    hold_little,
    page_of,
    page_request,
    reply_failure,
    run_request,
)
from gateway.upstream.reply import REPLY_BYTES_MAX
from gateway.wire.items import ITEMS_MAX
from gateway.wire.openai import Parts
from gateway.wire.runpod import JobState, StreamPage
from tests.factories import endpoint
from tests.fakes.raw_server import CLOSE, RawServer, raw_server, reply

pytestmark = pytest.mark.server

SUBMISSION = (b'{"a"', memoryview(b":1}"))
HTML = b"<!DOCTYPE html><title>a timeout occurred</title>"


class Calls(JobApi):
    """Makes all calls of the job API, also the ones that the product makes with a `JobCall`."""

    async def submit(self, job_input: Parts) -> str:
        return accepted_id(await self._client.call(run_request(job_input), hold_little))

    async def read_page(self, job_id: str, *, wait_s: float) -> StreamPage:
        try:
            received = await self._client.call(page_request(job_id, wait_s=wait_s))
        except UnreachableError as error:
            raise reply_failure(error) from error.__cause__
        return page_of(received)


@contextlib.asynccontextmanager
async def job_api(*answers: bytes) -> AsyncIterator[tuple[Calls, RawServer]]:
    async with raw_server(*answers) as server:
        transport = make_transport()
        try:
            yield Calls(EndpointClient(endpoint(base_url=f"{server.url}/v2/"), transport)), server
        finally:
            await transport.aclose()


async def test_a_submission_is_one_post_with_our_key_and_nothing_else() -> None:
    async with job_api(reply(b'{"id":"j-u1","status":"IN_QUEUE"}', 200, "set-cookie: __cflb=x; Path=/")) as (
        api,
        server,
    ):
        assert await api.submit(SUBMISSION) == "j-u1"
        head, body = server.requests[0].split(b"\r\n\r\n")
        assert head.startswith(b"POST /v2/ep1/run HTTP/1.1")
        assert b"authorization: Bearer rpa_test" in head
        assert body == b'{"input":{"a":1}}'


async def test_cookies_are_not_kept() -> None:
    answers = [reply(b'{"id":"j"}', 200, "set-cookie: __cflb=x; Path=/"), reply(b'{"status":"IN_QUEUE"}')]
    async with job_api(*answers) as (api, server):
        await api.submit(SUBMISSION)
        await api.read_status("j")
        assert b"cookie" not in server.requests[1].lower()


async def test_a_page_is_read_with_a_long_poll() -> None:
    async with job_api(reply(b'{"status":"IN_PROGRESS","stream":[{"output":"a"}]}')) as (api, server):
        page = await api.read_page("j", wait_s=10)
        assert [bytes(output) for output in page.outputs] == [b'"a"']
        assert server.requests[0].startswith(b"POST /v2/ep1/stream/j?wait=10000 ")


async def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    async with job_api(reply(b'{"status":"COMPLETED"}')) as (api, server):
        await api.read_status("../../v2/other/purge-queue?x=")
        assert server.requests[0].startswith(b"POST /v2/ep1/status/..%2F..%2Fv2%2Fother%2Fpurge-queue%3Fx")


async def test_status_cancel_and_health() -> None:
    answers = [reply(b'{"status":"COMPLETED"}'), reply(b'{"status":"CANCELLED"}'), reply(b'{"workers":{"idle":1}}')]
    async with job_api(*answers) as (api, server):
        assert (await api.read_status("j")).state is JobState.COMPLETED
        assert (await api.cancel("j")).state is JobState.CANCELLED
        assert (await api.read_health()).workers == {"idle": 1}
        assert [request.split(b" HTTP")[0] for request in server.requests] == [
            b"POST /v2/ep1/status/j",
            b"POST /v2/ep1/cancel/j",
            b"GET /v2/ep1/health",
        ]


async def failure(answer: bytes, *, submits: bool = False) -> GatewayError:
    async with job_api(answer) as (api, _):
        with pytest.raises(GatewayError) as caught:
            await (api.submit(SUBMISSION) if submits else api.read_page("j", wait_s=1))
        return caught.value


@pytest.mark.parametrize(
    "answer",
    [
        CLOSE,
        reply(HTML, 524),
        reply(HTML, 502),
        reply(b"", 500),
        reply(HTML),
        reply(b""),
        reply(b'{"status":7}'),
        reply(b'{"status":"IN_PROG'),
        b'HTTP/1.1 200 X\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{"status"',
        b"nonsense\r\n\r\n",
    ],
)
async def test_a_reply_that_was_lost_may_have_been_taken(answer: bytes) -> None:
    error = await failure(answer)
    assert isinstance(error, UnreachableError)
    assert error.was_sent


async def test_a_refused_connection_was_never_sent() -> None:
    transport = make_transport()
    try:
        api = Calls(EndpointClient(endpoint(base_url="http://127.0.0.1:1/v2"), transport))
        with pytest.raises(UnreachableError) as caught:
            await api.submit(SUBMISSION)
    finally:
        await transport.aclose()
    assert not caught.value.was_sent
    assert caught.value.is_elsewhere_safe


async def test_a_connection_that_was_closed_meanwhile_is_not_repeated_blindly() -> None:
    """A kept connection that the server has closed: the client library must not send the read a second time."""
    page = reply(b'{"status":"IN_PROGRESS","stream":[]}')
    async with job_api(page, CLOSE, page) as (api, server):
        await api.read_page("j", wait_s=1)
        with pytest.raises(UnreachableError) as caught:
            await api.read_page("j", wait_s=1)
        assert caught.value.was_sent
        assert len(server.requests) == 2


async def test_statuses_say_what_to_do() -> None:
    assert isinstance(await failure(reply(b"", 404)), JobExpiredError)
    for status in (401, 403):
        assert isinstance(await failure(reply(b"", status)), UpstreamConfigError)
    assert isinstance(await failure(reply(b"", 404), submits=True), UpstreamConfigError)
    assert isinstance(await failure(reply(b"", 413), submits=True), BodyTooLargeError)
    busy = await failure(reply(b"", 429, "retry-after: 7"))
    assert isinstance(busy, UpstreamBusyError)
    assert busy.retry_after_s == 7


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"id":""}', b'{"id":null}', b'{"status":"IN_QUEUE"}', b'{"id":"a\\r\\nx-evil: 1"}', b'{"id":"\xc3\xa9"}'],
)
async def test_an_acceptance_without_a_usable_id_is_none(body: bytes) -> None:
    assert isinstance(await failure(reply(body), submits=True), UnreachableError)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"stream":[' + b"{}," * ITEMS_MAX + b'{}],"status":"IN_PROGRESS"}', TOO_MANY_OUTPUTS),
        (b" " * (REPLY_BYTES_MAX + 1), TOO_LARGE_OUTPUTS),
    ],
    ids=["outputs", "bytes"],
)
async def test_a_page_that_is_too_large_is_not_read_again(body: bytes, told: str) -> None:
    error = await failure(reply(body))
    assert isinstance(error, OutputLostError)
    assert error.reason == told


async def test_a_status_that_is_too_large_is_not_read_again() -> None:
    async with job_api(reply(b" " * (REPLY_BYTES_MAX + 1))) as (api, _):
        with pytest.raises(OutputLostError, match="MiB at once"):
            await api.read_status("j")


async def test_a_reply_without_outputs_is_small() -> None:
    body = b'{"id":"j"' + b" " * SMALL_REPLY_BYTES_MAX + b"}"
    assert isinstance(await failure(reply(body), submits=True), UnreachableError)


async def test_a_job_that_is_too_large_is_not_sent() -> None:
    async with job_api() as (api, server):
        with pytest.raises(BodyTooLargeError):
            await api.submit((b'"', b"x" * JOB_BODY_BYTES_MAX, b'"'))
        assert server.requests == []
