import email.utils

import httpx
import msgspec
import pytest

from gateway.errors import (
    GatewayError,
    JobFailedError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
    WorkerError,
)
from gateway.upstream.failures import RETRY_AFTER_S_MAX, read_date, read_retry_after, relay_failure, unreachable


def failure(status: int, body: object = b"", retry_after_s: float | None = None) -> GatewayError:
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return relay_failure(status, body=sent, retry_after_s=retry_after_s)


def worker_body(**detail: object) -> object:
    return {"error": {"message": "no such model", "type": "NotFoundError", **detail}}


def test_the_worker_s_own_error_keeps_its_status() -> None:
    error = failure(404, worker_body(code=404))
    assert isinstance(error, WorkerError)
    assert (error.status, error.code, error.message) == (404, "model_not_found", "no such model")


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        # text-generation-inference: the error is a text.
        (422, {"error": "Input validation error: `top_p` must be > 0.0", "error_type": "validation"}, "top_p"),
        (400, {"detail": "bad role"}, "bad role"),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "too large"}]}, "n: too large"),
        (400, ["one", "two"], "one; two"),
        (400, "just a text", "just a text"),
        (400, b"plain text, no JSON", "plain text"),
        (400, b"<html>Bad Request</html>", "HTTP 400"),
        (415, b"", "HTTP 415"),
        (400, {}, "HTTP 400"),
        (413, {"message": "too large"}, "too large"),
    ],
)
def test_a_4xx_stays_one_whatever_its_body(status: int, body: object, told: str) -> None:
    error = failure(status, body)
    assert isinstance(error, WorkerError)
    assert error.status == (400 if status == 422 else status)
    assert told in error.message


def test_the_text_of_a_failed_job_is_read() -> None:
    error = failure(500, {"error": "{'message': 'vLLM returned HTTP 400: {}', 'type': 'worker_error'}"})
    assert isinstance(error, WorkerError)
    assert error.status == 400


def test_a_5xx_carries_what_the_worker_says() -> None:
    error = failure(500, worker_body(message="the engine is dead", type="EngineDeadError"))
    assert isinstance(error, WorkerError)
    assert (error.status, error.message) == (502, "the engine is dead")
    for text in ("handler: boom\ntraceback: x", '{"error_type": "ValueError", "error_message": "boom"}'):
        raised = failure(500, {"error": text})
        assert isinstance(raised, JobFailedError)
        assert raised.reason == "The worker failed: boom"
    assert isinstance(failure(500, {"error": "{'message': 'boom', 'type': 'worker_error'}"}), JobFailedError)
    for status, body in ((500, {"error": "internal"}), (502, worker_body(message="internal", type="x"))):
        unknown = failure(status, body)
        assert isinstance(unknown, UnreachableError)
        assert (unknown.status, unknown.detail) == (status, "internal")


def test_the_platform_s_errors_are_told_from_the_worker_s() -> None:
    for body in (b"", {}, {"error": "endpoint not found"}, b"<html>"):
        assert isinstance(failure(404, body), UpstreamConfigError)
    for status in (401, 402, 403):
        assert isinstance(failure(status, worker_body()), UpstreamConfigError)
    busy = failure(429, worker_body(), retry_after_s=2)
    assert isinstance(busy, UpstreamBusyError)
    assert busy.retry_after_s == 2
    html = failure(524, b"<html>")
    assert isinstance(html, UnreachableError)
    assert html.was_sent
    assert not html.detail
    assert isinstance(failure(204), UnreachableError)
    assert not isinstance(failure(500, b"\xff"), JobFailedError)


NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("3", 3),
        ("1.5", 1.5),
        ("-1", None),
        ("nan", None),
        ("9999", RETRY_AFTER_S_MAX),
        (email.utils.formatdate(NOW_S + 40, usegmt=True), 40),
        (email.utils.formatdate(NOW_S - 40, usegmt=True), None),
        ("Mon, 99 Xyz 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text, now_unix_s=NOW_S) == seconds


def test_dates() -> None:
    assert read_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    assert read_date(None) is read_date("") is read_date("yesterday") is None


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
