import msgspec
import pytest

from gateway import errors
from gateway.domain import EndpointState
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.error_body import INTERNAL_ERROR, error_answer
from gateway.wire.content_coding import UNREADABLE

EXAMPLES: list[tuple[errors.GatewayError, int, str | None, bool]] = [
    (errors.InvalidKeyError(), 401, "invalid_api_key", False),
    (errors.ModelForbiddenError("m"), 403, "model_not_allowed", False),
    (errors.UnknownModelError("m"), 404, "model_not_found", False),
    (errors.UnknownEndpointError("e"), 404, "endpoint_not_found", False),
    (errors.UnknownUrlError("/v1/x"), 404, "unknown_url", False),
    (errors.MethodError(method="GET", allowed="POST"), 405, "method_not_allowed", False),
    (errors.BodyTooLargeError(10), 413, "request_too_large", False),
    (errors.UnsupportedEncodingError("br", ["gzip"]), 415, "unsupported_content_encoding", False),
    (errors.SlowRequestError("body"), 408, "request_timeout", False),
    (errors.HeadTooLargeError(10), 431, "request_headers_too_large", False),
    (errors.InvalidRequestError("no", param="n"), 400, "invalid_value", False),
    (
        errors.TenantLimitError(limit="requests_per_minute", maximum=5, retry_after_s=3),
        429,
        "rate_limit_exceeded",
        True,
    ),
    (errors.OverShareError(retry_after_s=3), 429, "tenant_over_share", True),
    (errors.FailedKeysError(retry_after_s=3), 429, "rate_limit_exceeded", True),
    (errors.NoTurnError(retry_after_s=3), 503, "server_is_overloaded", True),
    (errors.BodiesFullError(retry_after_s=1), 503, "server_is_overloaded", True),
    (errors.AnswersFullError(retry_after_s=1), 503, "server_is_overloaded", True),
    (errors.TooManyConnectionsError(retry_after_s=1), 503, "server_is_overloaded", True),
    (errors.DrainingError(retry_after_s=1), 503, "server_is_overloaded", True),
    (errors.UnreachableError("x", was_sent=True), 502, "server_error", False),
    (
        errors.UnreachableError("x", was_sent=False, fault=errors.ConnectFault.NO_DESCRIPTORS),
        503,
        "server_is_overloaded",
        True,
    ),
    (errors.UpstreamBusyError(retry_after_s=None), 503, "server_is_overloaded", True),
    (errors.UpstreamConfigError(status=401), 502, "server_error", False),
    (
        errors.NoWorkerError(waited_s=600, state=EndpointState.THROTTLED),
        503,
        "server_is_overloaded",
        True,
    ),
    (errors.EndpointDownError(retry_after_s=5), 503, "server_is_overloaded", True),
    (errors.ClientDeadlineError(waited_s=20), 504, "server_error", False),
    (errors.EndpointDownError(retry_after_s=5), 503, "server_is_overloaded", True),
    (errors.ClientDeadlineError(waited_s=20), 504, "server_error", False),
    (errors.IdempotencyError("why"), 422, "idempotency_key_in_use", False),
    (errors.UpstreamTimeoutError(), 504, "server_error", False),
    (errors.JobExpiredError(), 502, "server_error", False),
    (errors.JobFailedError("why"), 502, "server_error", False),
    (errors.JobNotRunError("why"), 502, "server_error", False),
    (errors.OutputLostError("why"), 502, "server_error", False),
    (errors.WorkerError(status=400, message="why", type_="invalid_request_error", code="c"), 400, "c", False),
]


@pytest.mark.parametrize(
    ("error", "status", "code", "has_retry_after"), EXAMPLES, ids=lambda value: type(value).__name__
)
def test_every_error_has_its_answer(
    error: errors.GatewayError, status: int, code: str | None, has_retry_after: bool
) -> None:
    answer = error_answer(error)
    detail = msgspec.json.decode(error_body(answer))["error"]
    assert set(detail) == {"message", "type", "param", "code"}
    assert (answer.status, detail["code"]) == (status, code)
    assert detail["message"]
    assert ("retry-after" in answer.headers()) is has_retry_after


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (EndpointState.ASLEEP, "scaled down"),
        (EndpointState.WAKING, "starting"),
        (EndpointState.LOADING, "loading"),
        (EndpointState.THROTTLED, "throttled"),
        (EndpointState.UNHEALTHY, "unhealthy"),
        (EndpointState.ABSENT, "maximum"),
        (EndpointState.UNKNOWN, "is unknown"),
        (EndpointState.WARM, "busy"),
    ],
)
def test_an_endpoint_without_a_worker_for_us_is_told_as_it_is(state: EndpointState, word: str) -> None:
    answer = error_answer(errors.NoWorkerError(waited_s=600, state=state, usual_s=44.2))
    assert word in error_body(answer).decode()
    # No start is under way, or it could not be: nothing says how long it takes.
    is_start = state not in {
        EndpointState.THROTTLED,
        EndpointState.UNHEALTHY,
        EndpointState.ABSENT,
        EndpointState.WARM,
    }
    assert ("usually takes 44 s" in error_body(answer).decode()) is is_start
    assert answer.headers()["retry-after"] == "45"


def test_only_a_job_is_said_to_be_cancelled() -> None:
    for is_cancelled in (True, False):
        answer = error_answer(errors.UpstreamTimeoutError(ran_s=3, is_cancelled=is_cancelled))
        assert (b"cancelled" in error_body(answer)) is is_cancelled


def test_the_wait_for_a_start_that_is_under_way_is_what_is_left_of_it() -> None:
    waking = errors.NoWorkerError(waited_s=40, state=EndpointState.WAKING, since_s=40, usual_s=60)
    answer = error_answer(waking)
    assert b"a worker is starting (for 40 s, a start usually takes 60 s)" in error_body(answer)
    assert answer.headers()["retry-after"] == "20"
    late = errors.NoWorkerError(waited_s=90, state=EndpointState.WAKING, since_s=90, usual_s=60)
    assert error_answer(late).headers()["retry-after"] == "60"


def test_a_time_that_is_over_is_told_with_what_is_known() -> None:
    assert b"It ran for 12 s." in error_body(error_answer(errors.UpstreamTimeoutError(ran_s=12)))
    assert b"loading its model" in error_body(error_answer(errors.UpstreamTimeoutError(ran_s=12, is_loading=True)))


def test_the_table_is_total() -> None:
    def leaves(kind: type) -> set[type]:
        below = kind.__subclasses__()
        return {leaf for each in below for leaf in leaves(each)} if below else {kind}

    assert leaves(errors.GatewayError) == {type(error) for error, *_ in EXAMPLES}


def test_what_only_the_operator_can_mend_is_not_tried_again() -> None:
    assert error_answer(errors.UpstreamConfigError(status=401)).headers()["x-should-retry"] == "false"
    assert "x-should-retry" not in error_answer(errors.UpstreamBusyError(retry_after_s=1)).headers()


def test_a_missing_key_is_asked_for_and_a_bad_one_is_told() -> None:
    missing, bad = (error_answer(errors.InvalidKeyError(is_missing=each)) for each in (True, False))
    assert missing.headers() == {"www-authenticate": 'Bearer realm="fairpod"'}
    assert bad.headers() == {"www-authenticate": 'Bearer realm="fairpod", error="invalid_token"'}
    assert b"No API key" in error_body(missing)
    assert b"Incorrect API key" in error_body(bad)


def test_an_encoding_that_is_not_read_is_named_with_those_that_are() -> None:
    answer = error_answer(errors.UnsupportedEncodingError("br", ["gzip", "deflate"]))
    assert answer.headers() == {"accept-encoding": "gzip, deflate"}
    assert b"`br`" in error_body(answer)
    assert b"gzip, deflate" in error_body(answer)


def test_an_unreadable_answer_is_told_and_other_reasons_are_not() -> None:
    told = errors.UnreachableError(f"{UNREADABLE}: br", was_sent=True, status=200)
    assert b"unreadable content-encoding: br" in error_body(error_answer(told))
    assert b"secret" not in error_body(error_answer(errors.UnreachableError("secret", was_sent=True)))


def test_an_error_outside_the_tree_is_ours() -> None:
    assert error_answer(errors.GatewayError()) is INTERNAL_ERROR


@pytest.mark.parametrize(
    ("wait_s", "header", "milliseconds"), [(0.2, "1", "200"), (1.5, "2", "1500"), (900, "60", "59999")]
)
def test_retry_after_stays_in_the_window_that_clients_honour(wait_s: float, header: str, milliseconds: str) -> None:
    headers = error_answer(errors.NoTurnError(retry_after_s=wait_s)).headers()
    assert (headers["retry-after"], headers["retry-after-ms"]) == (header, milliseconds)


@pytest.mark.parametrize("limit", ["max_in_flight", "requests_per_minute", "tokens_per_minute"])
def test_a_wait_longer_than_clients_honour_is_told_in_words(limit: str) -> None:
    def told(wait_s: float) -> bytes:
        return error_body(error_answer(errors.TenantLimitError(limit=limit, maximum=5, retry_after_s=wait_s)))

    assert b"Retry in 540 s." in told(539.2)
    assert b"Retry" not in told(60)


@pytest.mark.parametrize(
    "error",
    [
        errors.UnknownModelError("x" * 10_000),
        errors.UnknownEndpointError("x" * 10_000),
        errors.UnsupportedEncodingError("x" * 10_000, ["gzip"]),
    ],
)
def test_a_long_name_is_not_echoed_whole(error: errors.GatewayError) -> None:
    assert len(error_body(error_answer(error))) < 600


def test_a_model_that_is_elsewhere_is_told_with_the_list_of_those_that_are_there() -> None:
    body = error_body(error_answer(errors.UnknownModelError("m", endpoint="abc")))
    assert b"`m` does not exist on the endpoint `abc`" in body
    assert b"GET /v2/abc/openai/v1/models" in body
    assert b"GET /v1/models" in error_body(error_answer(errors.UnknownModelError("m")))


def test_that_responses_are_not_stored_is_explained() -> None:
    body = error_body(error_answer(errors.UnknownUrlError("/v1/responses/resp_1")))
    assert "not stored" in msgspec.json.decode(body)["error"]["message"]


@pytest.mark.parametrize(("status", "is_useless"), [(400, True), (404, True), (413, True), (429, False), (502, False)])
def test_a_worker_s_4xx_is_not_tried_again_but_a_limit_is(status: int, *, is_useless: bool) -> None:
    answer = error_answer(errors.WorkerError(status=status, message="why", type_="t"))
    assert (answer.headers().get("x-should-retry") == "false") is is_useless


@pytest.mark.parametrize("kind", [errors.JobFailedError, errors.OutputLostError, errors.JobNotRunError])
def test_a_wait_that_the_upstream_asked_for_is_passed_on(kind: type[errors.AnswerError]) -> None:
    error = kind("why")
    assert "retry-after" not in error_answer(error).headers()
    error.retry_after_s = 40
    assert error_answer(error).headers()["retry-after"] == "40"


def test_an_unexpected_status_is_told_with_what_it_says() -> None:
    told = errors.UnreachableError("unexpected status", was_sent=True, status=500, detail="the engine is gone")
    assert b"HTTP 500: the engine is gone" in error_body(error_answer(told))
    assert b"HTTP 500." in error_body(error_answer(errors.UnreachableError("x", was_sent=True, status=500)))
