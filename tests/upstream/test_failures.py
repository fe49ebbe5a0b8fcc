import email.utils
import errno

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
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.error_body import error_answer
from gateway.upstream.failures import (
    RETRY_AFTER_S_MAX,
    job_call_failure,
    read_date,
    read_retry_after,
    relay_failure,
    unreachable,
)


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


@pytest.mark.parametrize("status", [502, 503, 504, 529])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", worker_body(type="x"), {"error": "busy"}, {"error": "Error code: 503 - no"}]
)
def test_every_client_is_told_the_wait_that_a_5xx_asks_for(status: int, body: object) -> None:
    on_job_route = job_call_failure(status, retry_after_s=40, has_job=False)
    assert on_job_route is not None
    for error in (failure(status, body, 40), on_job_route):
        answer = error_answer(error)
        assert answer.status == 502
        assert answer.headers()["retry-after"] == "40"
    assert "retry-after" not in error_answer(failure(status, body)).headers()


def test_no_wait_mends_a_request() -> None:
    for error in (failure(400, worker_body(), 40), failure(500, worker_body(code=400), 40)):
        assert error_answer(error).status == 400
        assert "retry-after" not in error_answer(error).headers()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"errors": [{"code": 5000, "message": "engine died"}], "success": False}),
        (500, {"error": ["engine died"]}),
        (500, ["engine died"]),
        (502, {"detail": ["engine died"]}),
        (503, {"detail": ["engine died"]}),
        (503, {"error": ["engine died: n is a required input."]}),
        (504, {"detail": [{"loc": ["body"], "msg": "engine died"}]}),
        (503, {"error": "engine died, it returned 404"}),
    ],
)
def test_a_5xx_never_becomes_the_client_s_fault_by_a_guess(status: int, body: object) -> None:
    error = failure(status, body)
    assert isinstance(error, UnreachableError | WorkerError)
    answer = error_answer(error)
    assert answer.status == 502
    assert b"engine died" in error_body(answer)


def test_the_platform_s_errors_are_told_from_the_worker_s() -> None:
    for body in (b"", {}, {"error": "endpoint not found"}, b"<html>"):
        assert isinstance(failure(404, body), UpstreamConfigError)
    for status in (401, 402, 403):
        for body in (b"", {}, {"error": "Unauthorized"}, {"message": "Your API key is invalid"}, b"Unauthorized"):
            refused = failure(status, body)
            assert isinstance(refused, UpstreamConfigError)
            assert refused.is_certain
        # A firewall's page, or nobody knows whose text.
        for body in (b"<html>", b" \n<!DOCTYPE html>", b"flagged"):
            doubtful = failure(status, body)
            assert isinstance(doubtful, UpstreamConfigError)
            assert not doubtful.is_certain
    for body in (b"", {}, {"error": "Too many requests"}, b"rate limited", b"<html>"):
        busy = failure(429, body, retry_after_s=2)
        assert isinstance(busy, UpstreamBusyError)
        assert busy.retry_after_s == 2
    for detail in (worker_body(), {"detail": "queue full"}, {"error": {"message": "slow down"}}):
        limit = failure(429, detail, retry_after_s=2)
        assert isinstance(limit, WorkerError)
        assert (limit.status, limit.retry_after_s, limit.is_elsewhere_safe) == (429, 2, True)
    html = failure(524, b"<html>")
    assert isinstance(html, UnreachableError)
    assert html.was_sent
    assert not html.detail
    assert isinstance(failure(204), UnreachableError)
    assert not isinstance(failure(500, b"\xff"), JobFailedError)


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize(
    "text",
    ["forbidden", "401 Unauthorized", "Invalid token", "token expired", "insufficient balance", "Account is suspended"],
)
def test_words_about_our_account_are_runpod_s(status: int, text: str) -> None:
    for body in ({"error": text}, {"message": text, "code": status}):
        assert isinstance(failure(status, body), UpstreamConfigError)


NO_ENDPOINT = [
    {"error": "endpoint not found"},
    {"message": "Endpoint does not exist."},
    {"error": "endpoint abc123 was not found"},
    {"error": 'Endpoint "abc123" not found', "status": 404},
    {"message": "unknown endpoint: abc123"},
    "endpoint not found",
    b"Endpoint not found",
]
SILENT_404 = [b"", b"<html>", {}, {"error": {}}, {"message": "Not Found"}, b"404 page not found\n", b"Not Found"]
WORKER_404 = [
    worker_body(message="model my-endpoint does not exist"),
    worker_body(message="endpoint not found"),
    {"error": "model 'x' not found, see the endpoint's list"},
    {"error": "this endpoint has no /v1/embeddings"},
    {"error": "not found"},
    {"detail": "Not Found"},
    {"detail": "Endpoint not found"},
    {"object": "error", "message": "The endpoint /v1/embeddings was not found", "type": "NotFoundError"},
    {"error": "endpoint not found", "message": "POST /v1/embeddings"},
    b"no such model on this endpoint",
    [{"error": {"message": "endpoint not found"}}],
    b'data: {"error": {"message": "endpoint not found"}}\n\n',
    b'{"error": "endpoint not found, ' + b"x" * 70_000,
]


@pytest.mark.parametrize("body", NO_ENDPOINT)
def test_only_runpod_s_own_words_say_that_there_is_no_endpoint(body: object) -> None:
    error = failure(404, body)
    assert isinstance(error, UpstreamConfigError)
    assert error.is_certain


@pytest.mark.parametrize("body", SILENT_404)
def test_a_404_that_says_nothing_may_be_either_s(body: object) -> None:
    error = failure(404, body)
    assert isinstance(error, UpstreamConfigError)
    assert not error.is_certain


@pytest.mark.parametrize("body", WORKER_404)
def test_a_worker_s_404_stays_one_whatever_it_speaks_of(body: object) -> None:
    error = failure(404, body)
    assert isinstance(error, WorkerError)
    assert error.status == 404


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize(
    "body",
    [
        worker_body(message="Unauthorized"),
        {"object": "error", "message": "no access to this adapter", "type": "PermissionDeniedError"},
        {"detail": "Not authenticated"},
        {"error": "the prompt was flagged by the safety filter"},
        {"error": "the adapter you asked for is forbidden to this worker's users"},
        {"message": "permission to use this voice was not given"},
    ],
)
def test_a_worker_s_own_refusal_keeps_its_status_and_is_not_repeated(status: int, body: object) -> None:
    error = failure(status, body)
    assert isinstance(error, WorkerError)
    assert error.status == status
    assert error_answer(error).headers()["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 524, 530, 599])
def test_a_5xx_that_says_in_json_what_is_wrong_is_no_outage(status: int) -> None:
    for body in (
        {"error": "cannot identify image file"},
        {"error": {"message": "engine queue full"}},
        {"detail": "engine queue full"},
        {"object": "error", "message": "engine queue full"},
        [{"error": {"message": "engine queue full"}}],
        b'data: {"error": {"message": "engine queue full"}}\n\ndata: [DONE]\n\n',
        b'event: error\ndata: {"error": {"message": "engine queue full"}}\n\n',
        b'{"error": {"message": "' + b"x" * 70_000,
    ):
        error = failure(status, body)
        assert not isinstance(error, UnreachableError) or not error.is_outage


@pytest.mark.parametrize("body", [b"", b"<html>", {}, {"error": {}}, b"bad gateway", {"cloudflare_error": True}])
def test_only_what_the_edge_answers_where_nobody_does_is_an_outage(body: object) -> None:
    for status in (502, 504, 520, 524, 530):
        error = failure(status, body)
        assert isinstance(error, UnreachableError)
        assert error.is_outage
    for status in (204, 302, 500, 503):
        error = failure(status, body)
        assert isinstance(error, UnreachableError)
        assert not error.is_outage


def test_a_redirect_says_what_it_is() -> None:
    for error in (failure(302, b"<html>"), job_call_failure(307, retry_after_s=None, has_job=False)):
        assert isinstance(error, UnreachableError)
        assert error.detail == "redirects are not followed"


def test_a_page_before_the_job_api_is_not_its_own_refusal() -> None:
    for body, is_certain in ((b"", True), (b'{"error":"x"}', True), (b"<html>", False)):
        for status in (401, 403, 404):
            error = job_call_failure(status, retry_after_s=None, has_job=False, body=body)
            assert isinstance(error, UpstreamConfigError)
            assert error.is_certain is is_certain


def test_of_the_job_api_only_the_edge_s_statuses_are_an_outage() -> None:
    outages = {}
    for status in (307, 400, 405, 422, 500, 502, 503, 504, 522, 524):
        error = job_call_failure(status, retry_after_s=None, has_job=False)
        assert isinstance(error, UnreachableError)
        outages[status] = error.is_outage
    assert [status for status, is_outage in outages.items() if is_outage] == [502, 504, 522, 524]


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


@pytest.mark.parametrize(
    ("cause", "is_local"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.ENOBUFS, "No buffer space available"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
        (UnicodeError(), False),
        (None, False),
    ],
)
def test_what_this_process_lacks_is_told_from_what_an_endpoint_does(cause: Exception | None, *, is_local: bool) -> None:
    error = httpx.ConnectError("connection failed")
    error.__cause__ = cause
    assert unreachable(error).is_local is is_local
    sent = httpx.ReadError("broken")
    sent.__cause__ = cause
    assert not unreachable(sent).is_local
