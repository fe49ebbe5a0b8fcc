import msgspec
import pytest

from gateway.errors import JobFailedError, WorkerError
from gateway.translate.worker_errors import TEXT_LENGTH_MAX, job_error, output_error

NOT_FOUND = (
    '{\'message\': \'vLLM returned HTTP 404: {"error": {"message":"The model `x` does not exist.",'
    '"type":"NotFoundError","param":"model","code":404}}\', \'type\': \'worker_error\', \'code\': None}'
)
TRACEBACK = (
    "handler: boom in /app/src/handler.py \n"
    'traceback: Traceback (most recent call last):\n  File "/app/src/handler.py", line 3, in f\nValueError: secret'
)
RAISED = msgspec.json.encode(
    {
        "error_type": "<class 'ValueError'>",
        "error_message": "boom at /workspace/models/a.py",
        "error_traceback": "Traceback (most recent call last): secret",
        "hostname": "pod-1",
        "worker_id": "w",
        "runpod_version": "1.12.0",
    }
).decode()


def worker_error(error: Exception) -> tuple[int, str | None, str | None, str]:
    assert isinstance(error, WorkerError)
    return error.status, error.code, error.param, error.message


def test_a_yielded_error_is_read_from_its_repr() -> None:
    assert worker_error(job_error(NOT_FOUND)) == (404, "model_not_found", "model", "The model `x` does not exist.")


def test_a_repr_with_both_quotes_is_read() -> None:
    text = "{'message': \"bad 'param'\", 'type': 'BadRequestError', 'param': None, 'code': 400}"
    assert worker_error(job_error(text)) == (400, None, None, "bad 'param'")


@pytest.mark.parametrize("text", [TRACEBACK, RAISED])
def test_tracebacks_and_paths_stay_here(text: str) -> None:
    error = job_error(text)
    assert isinstance(error, JobFailedError)
    assert "boom" in error.reason
    for leak in ("secret", "Traceback", "/app", "/workspace", "pod-1", ".py"):
        assert leak not in error.reason


def test_the_platforms_own_text_is_passed_on() -> None:
    error = job_error("job timed out after 1 retries")
    assert isinstance(error, JobFailedError)
    assert "timed out after 1 retries" in error.reason


@pytest.mark.parametrize("text", [None, "", "{", "{'a': ", "{1,2}", "{" * 100_000, "[]", "null"])
def test_anything_else_is_a_failed_job(text: str | None) -> None:
    assert isinstance(job_error(text), JobFailedError)


def test_a_flat_error_carries_its_status_in_the_code() -> None:
    flat = {"object": "error", "message": "bad", "type": "BadRequestError", "param": "n", "code": 400}
    assert worker_error(output_error(flat)) == (400, None, "n", "bad")


def test_a_nested_error_carries_its_code() -> None:
    nested = {"error": {"message": "no", "type": "invalid_request_error", "code": "content_policy"}}
    assert worker_error(output_error(nested)) == (400, "content_policy", None, "no")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_the_worker_s_own_trouble_is_not_the_client_s(status: int) -> None:
    assert worker_error(output_error({"message": "m", "code": status}))[:2] == (502, "worker_error")


def test_unprocessable_is_a_bad_request() -> None:
    assert worker_error(output_error({"message": "m", "code": "422"}))[0] == 400


def test_a_context_overflow_says_the_word_that_langchain_looks_for() -> None:
    error = output_error({"message": "This model's maximum context length is 10 tokens.", "code": 400})
    status, code, _, message = worker_error(error)
    assert (status, code) == (400, "context_length_exceeded")
    assert "context_length_exceeded" in message


def test_a_text_error_with_an_embedded_status_is_read() -> None:
    error = output_error("vLLM returned HTTP 400: not json")
    assert worker_error(error)[0] == 400


@pytest.mark.timeout(10)
def test_a_huge_message_costs_little() -> None:
    """Quadratic looking-for would take minutes here, with every other stream waiting."""
    for text in (" " * 10_000_000, "/a" * 5_000_000, "vLLM returned HTTP 400:" + " " * 10_000_000, "C:\\" * 1_000_000):
        for error in (job_error(text), output_error({"message": text, "code": 400}), output_error(text)):
            assert len(str(getattr(error, "reason", "") or getattr(error, "message", ""))) < TEXT_LENGTH_MAX + 100


def test_texts_are_bounded() -> None:
    error = job_error("x" * 1_000_000)
    assert isinstance(error, JobFailedError)
    assert len(error.reason) < TEXT_LENGTH_MAX + 100


@pytest.mark.parametrize("code", ["²", "٤٠٠", "9" * 5000, "4000", "-400", " 400", 10**30])
def test_a_code_that_is_no_status_is_none(code: object) -> None:
    assert worker_error(output_error({"message": "m", "code": code}))[:2] == (502, "worker_error")


@pytest.mark.parametrize("text", ["{[]: 1}", "{{}: 1}", "{'a': " + "(" * 300])
def test_what_no_python_prints_is_text(text: str) -> None:
    assert isinstance(job_error(text), JobFailedError)
