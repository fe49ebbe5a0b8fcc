import json

import pytest

from gateway import errors
from gateway.translate.error_body import INTERNAL_ERROR, error_answer
from gateway.translate.messages.errors import error_body, error_event
from gateway.translate.worker_errors import job_error, output_error
from tests.translate.messages.shapes import read_events


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InvalidRequestError("x"), 400, "invalid_request_error"),
        (errors.InvalidKeyError(is_missing=True), 401, "authentication_error"),
        (errors.ModelForbiddenError("m"), 403, "permission_error"),
        (errors.UnknownModelError("m"), 404, "not_found_error"),
        (errors.MethodError(method="GET", allowed="POST"), 405, "invalid_request_error"),
        (errors.BodyTooLargeError(5), 413, "request_too_large"),
        (errors.FailedKeysError(retry_after_s=1), 429, "rate_limit_error"),
        (errors.BodiesFullError(retry_after_s=1), 503, "overloaded_error"),
        (errors.OutputLostError("x"), 502, "api_error"),
        (errors.ClientDeadlineError(waited_s=1), 504, "timeout_error"),
    ],
)
def test_the_type_follows_the_status(error: errors.GatewayError, status: int, kind: str) -> None:
    answer = error_answer(error)
    assert answer.status == status
    body = json.loads(error_body(answer))
    assert body == {"type": "error", "error": {"type": kind, "message": answer.detail.message}}


def test_a_bug_is_an_error_of_the_api() -> None:
    assert json.loads(error_body(INTERNAL_ERROR))["error"]["type"] == "api_error"


def test_the_request_is_named_where_its_id_is_known() -> None:
    answer = error_answer(errors.InvalidRequestError("x"))
    named = type(answer)(status=400, detail=answer.detail, request_id="r")
    assert json.loads(error_body(named))["request_id"] == "r"


def test_an_event_holds_the_body() -> None:
    answer = error_answer(errors.OutputLostError("lost"))
    assert read_events(error_event(answer)) == [
        {"type": "error", "error": {"type": "api_error", "message": answer.detail.message}}
    ]


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        (
            (
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the "
                "messages, 1000 in the completion). Please reduce the length of the messages or completion."
            ),
            "5000 tokens > 4096 maximum",
        ),
        (
            (
                "You passed 4000 input tokens and requested 1000 output tokens. However, the model's context length is "
                "only 4096 tokens, resulting in a maximum input length of 3096 tokens. Please reduce the length of the "
                "input prompt."
            ),
            "4000 tokens > 3096 maximum",
        ),
        (
            "The input (50,000 tokens) is longer than the model's context length (32,768 tokens).",
            "50000 tokens > 32768",
        ),
        ("request (5000 tokens) exceeds the available context size (4096 tokens)", "5000 tokens > 4096 maximum"),
        (
            "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`",
            "5000 tokens > 4096 maximum",
        ),
        ("prompt length 5000 > 4096", "5000 tokens > 4096 maximum"),
        ("the prompt is too long: 5000, model maximum 4096", "5000 tokens > 4096 maximum"),
    ],
)
def test_a_prompt_that_is_too_long_is_told_with_both_numbers(said: str, numbers: str) -> None:
    answer = error_answer(output_error({"error": {"message": said, "code": 400}}))
    assert answer.code == "context_length_exceeded"
    message = json.loads(error_body(answer))["error"]["message"]
    assert message.startswith(f"prompt is too long: {numbers}")
    assert said in message
    assert "context_length_exceeded" not in message


@pytest.mark.parametrize("said", ["The prompt is too long.", "The prompt is too long for the context of 4096 tokens."])
def test_numbers_are_not_invented(said: str) -> None:
    answer = error_answer(output_error({"error": {"message": said, "code": 400}}))
    assert json.loads(error_body(answer))["error"]["message"] == f"prompt is too long: {said}"


def test_other_failures_keep_their_words() -> None:
    answer = error_answer(job_error("CUDA out of memory"))
    assert json.loads(error_body(answer))["error"]["message"] == answer.detail.message
