import httpx
import msgspec
import pytest

from gateway.errors import UnreachableError, UpstreamBusyError, UpstreamConfigError, WorkerError
from gateway.upstream.failures import read_retry_after, relay_failure, unreachable


def worker_body(**detail: object) -> bytes:
    return msgspec.json.encode({"error": {"message": "no such model", "type": "NotFoundError", **detail}})


def test_the_worker_s_own_error_keeps_its_status() -> None:
    error = relay_failure(404, body=worker_body(code=404), retry_after=None)
    assert isinstance(error, WorkerError)
    assert (error.status, error.code, error.message) == (404, "model_not_found", "no such model")


def test_the_text_of_a_failed_job_is_read() -> None:
    failed = msgspec.json.encode({"error": "{'message': 'vLLM returned HTTP 400: {}', 'type': 'worker_error'}"})
    error = relay_failure(500, body=failed, retry_after=None)
    assert isinstance(error, WorkerError)
    assert error.status == 400
    assert isinstance(relay_failure(500, body=b'{"error":"internal"}', retry_after=None), UnreachableError)


def test_the_platform_s_errors_are_told_from_the_worker_s() -> None:
    assert isinstance(relay_failure(404, body=b"{}", retry_after=None), UpstreamConfigError)
    assert isinstance(relay_failure(401, body=worker_body(), retry_after=None), UpstreamConfigError)
    assert isinstance(relay_failure(429, body=worker_body(), retry_after="2"), UpstreamBusyError)
    html = relay_failure(524, body=b"<html>", retry_after=None)
    assert isinstance(html, UnreachableError)
    assert html.was_sent
    assert isinstance(relay_failure(400, body=b'"odd"', retry_after=None), UnreachableError)
    assert isinstance(relay_failure(204, body=b"", retry_after=None), UnreachableError)


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("", None), ("soon", None), ("3", 3), ("-1", None), ("9999", None)]
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text) == seconds


@pytest.mark.parametrize(
    ("kind", "was_sent"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.ReadTimeout, True),
        (httpx.WriteTimeout, True),
        (httpx.ReadError, True),
        (httpx.WriteError, True),
        (httpx.RemoteProtocolError, True),
    ],
)
def test_only_a_connection_that_was_never_made_has_sent_nothing(
    kind: type[httpx.TransportError], *, was_sent: bool
) -> None:
    assert unreachable(kind("x")).was_sent is was_sent
