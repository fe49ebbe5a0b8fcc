from typing import Any

import msgspec
import pytest

from gateway.errors import JobFailedError, JobNotRunError, WorkerError
from gateway.translate.redaction import SHOWN_LENGTH_MAX as TEXT_LENGTH_MAX
from gateway.translate.worker_errors import error_in, error_text, job_error, may_be_error, output_error
from tests.factories import fields_of

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


def test_a_huge_message_costs_little() -> None:
    """Quadratic looking-for would take hours here, with every other stream waiting."""
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


def reason(error: Exception) -> str:
    assert isinstance(error, JobFailedError | JobNotRunError)
    return error.reason


STATED = {
    # runpod-worker-ollama, worker-llama: the text of an openai-python exception.
    "Error code: 404 - {'error': {'message': 'model \"x\" not found', 'type': 'api_error', 'code': None}}": 404,
    "NotFoundError: Error code: 404 - {'error': 'model not found'}": 404,
    "Error code: 422 - {'detail': [{'loc': ['body', 'top_p'], 'msg': 'too large', 'type': 'value_error'}]}": 400,
    "Error code: 400 - not json": 400,
    'vLLM returned HTTP 400: {"error": {"message": "bad", "code": 400}}': 400,
    "handler: Error code: 400 - {'error': {'message': 'bad'}}": 400,
    "HTTP 413: too large": 413,
    "HTTPError: 400 Client Error: Bad Request for url: http://localhost:8000/v1": 400,
    "Client error '404 Not Found' for url 'http://127.0.0.1:8000/v1'": 404,
    "HTTP Error 400: Bad Request": 400,
    "status code: 409, body: x": 409,
    "Error code: 429 - {'error': {'message': 'busy'}}": 429,
    "Error code: 500 - {'error': {'message': 'boom'}}": 502,
    "Server error '503 Service Unavailable' for url 'http://x'": 502,
    "Error code: 401 - {'error': {'message': 'no key'}}": 502,
    "400: bad": 400,
    "422, message='bad', url='http://x'": 400,
    "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': 'bad'}}": 400,
    "BadRequestError(\"Error code: 400 - {'error': {'message': 'bad'}}\")": 400,
    "Request failed with status code 400": 400,
    "The engine returned 422 Unprocessable Entity": 400,
    "The engine returned 503": 502,
    '[{"error": {"message": "bad", "code": 400}}]': 400,
    '[{"error": {"message": "boom", "code": 500}}]': 502,
}


@pytest.mark.parametrize("text", STATED)
def test_a_status_in_the_text_is_believed(text: str) -> None:
    status, _, _, message = worker_error(job_error(text))
    assert status == STATED[text]
    assert message


@pytest.mark.parametrize(
    "text", ["it took 400 steps", "404", "layer 400 failed: boom", "the HTTP 400 page", "HTTP 999 x"]
)
def test_a_number_elsewhere_is_no_status(text: str) -> None:
    error = job_error(text)
    assert isinstance(error, JobFailedError) or worker_error(error)[0] == 502


LISTS = {
    # runpod-python's validator, and FastAPI's.
    '["Unexpected input. foo is not a valid input option.", "bar is required"]': "Unexpected input. foo is not a valid",
    "[{'loc': ['body', 'temperature'], 'msg': 'too low', 'type': 'value_error'}]": "temperature: too low",
    '{"detail": [{"loc": ["body", "n"], "msg": "field required"}]}': "n: field required",
    '{"errors": ["one is a required input.", "two"]}': "one is a required input.; two",
    '{"error": ["n should be <class \'int\'> type, not <class \'str\'>.", "two"]}': "n should be",
    "['top_p does not meet the constraints.']": "top_p does not meet",
    '["\\"role\\" is required"]': "is required",
    '["temperature must be a number"]': "temperature must be",
    '{"errors": [{"type": "field", "param": "n", "msg": "Invalid value"}]}': "Invalid value",
    '{"errors": {"top_p": ["too high"]}}': "top_p: too high",
    '{"error_type": "<class \'pydantic_core.ValidationError\'>", "error_message": "1 error for X"}': "1 error",
    '{"error": "`top_p` must be < 1.0", "error_type": "validation"}': "top_p",
}


@pytest.mark.parametrize("text", LISTS)
def test_validation_errors_are_readable_400s(text: str) -> None:
    status, _, _, message = worker_error(job_error(text))
    assert status == 400
    assert LISTS[text] in message
    assert not message.startswith(("[", "{"))


ENGINE_LISTS: list[Any] = [
    ["CUDA out of memory"],
    ["engine died", "restarting"],
    ["Schema error, missing type for n."],
    {"error": ["engine died"]},
    {"errors": ["boom"]},
    {"errors": [{"message": "boom"}]},
    {"errors": [{"code": 5000, "message": "internal error"}], "success": False},
    {"detail": ["engine overloaded, restarting"]},
    {"detail": [{"msg": "The engine must be restarted"}]},
]


@pytest.mark.parametrize("detail", ENGINE_LISTS, ids=str)
def test_a_list_is_a_complaint_only_where_it_reads_like_one(detail: Any) -> None:
    """A failed job, an output, and an answer with a status of its own."""
    for text in (repr(detail), msgspec.json.encode(detail).decode()):
        assert isinstance(job_error(text), JobFailedError)
    assert worker_error(output_error(detail))[0] == 502
    assert worker_error(output_error(detail, status=500))[0] == 502
    assert worker_error(output_error(detail, status=400))[0] == 400


COMPLAINTS: list[Any] = [
    ["n is a required input."],
    {"errors": {"n": ["too high"]}},
    {"detail": [{"loc": ["body", "n"], "msg": "field required"}]},
    "The engine returned 404",
]


@pytest.mark.parametrize("detail", COMPLAINTS, ids=str)
def test_a_5xx_of_http_wins_over_a_guess(detail: Any) -> None:
    text = detail if isinstance(detail, str) else repr(detail)
    for status in (500, 502, 503, 504):
        assert worker_error(output_error(detail, status=status))[0] == 502
        # Every failed job is a 500 on the OpenAI route.
        kept = worker_error(job_error(text))[0] if status == 500 else 502
        assert worker_error(job_error(text, status=status))[0] == kept


def test_a_long_list_is_shortened() -> None:
    message = worker_error(output_error([f"error {number}" for number in range(50)]))[3]
    assert message.endswith("and 42 more")


def test_the_status_of_an_http_answer_counts() -> None:
    assert worker_error(output_error("no", status=400))[0] == 400
    assert worker_error(output_error({"error": {"message": "no", "code": 500}}, status=422))[0] == 400
    assert worker_error(output_error({"detail": "Not Found"}, status=404))[:2] == (404, "model_not_found")
    # An engine's own 4xx inside a failed worker's 500.
    assert worker_error(output_error({"message": "no", "type": "BadRequestError"}, status=500))[0] == 400
    assert worker_error(output_error({"message": "no"}, status=500))[0] == 502


@pytest.mark.parametrize("text", ["The prompt is longer than the model's context length", "prompt is too long: 9 > 8"])
def test_a_context_overflow_needs_no_status(text: str) -> None:
    assert worker_error(job_error(text))[:2] == (400, "context_length_exceeded")
    assert worker_error(job_error(f"Error code: 429 - {text}"))[0] == 429
    # In a worker's own failure the words may stand by chance.
    is_certain = ">" in text
    assert worker_error(job_error(f"Error code: 500 - {text}"))[0] == (400 if is_certain else 502)


LLAMA_CPP_FULL = {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}
"""ggml-org/llama.cpp#19774."""


def test_llama_cpp_s_overflow_is_a_400_though_it_calls_it_a_500() -> None:
    as_json = msgspec.json.encode(LLAMA_CPP_FULL).decode()
    for error in (
        output_error(LLAMA_CPP_FULL),
        output_error(LLAMA_CPP_FULL, status=500),
        job_error(as_json),
        job_error(f"Error code: 500 - {LLAMA_CPP_FULL}"),
    ):
        assert worker_error(error)[:2] == (400, "context_length_exceeded")


ERRORS = [
    {"error": {"message": "engine died"}},
    {"error": "engine died"},
    {"error": ["engine died"]},
    {"error": {"message": "engine died"}, "choices": []},
    {"error": {"message": "engine died"}, "choices": [{"finish_reason": "error"}]},
    {"error": True, "message": "engine died"},
    {"object": "error", "message": "engine died"},
    {"type": "error", "error": {"message": "engine died"}},
    {"message": "engine died", "type": "server_error", "code": 500},
    {"message": "engine died", "code": "internal"},
    {"message": "engine died", "error_type": "EngineDeadError"},
    {"detail": "engine died"},
    {"detail": [{"loc": ["body"], "msg": "engine died"}]},
    {"errors": ["engine died"]},
    {"status": "error", "message": "engine died"},
    {"status": "FAILED", "message": "engine died"},
    {"success": False, "message": "engine died"},
    {"status_code": 500, "msg": "engine died"},
    {"message": {"message": "engine died"}, "code": 400},
    {"data": None, "error": {"message": "engine died"}},
    {"data": None, "message": "engine died", "code": 500},
    {"errors": {"engine": ["engine died"]}},
    {"errors": "engine died"},
    {"error_code": 500, "error_msg": "engine died"},
    {"error_code": 336003, "error_msg": "engine died"},
    {"errorMessage": "engine died"},
    {"statusCode": 500, "message": "engine died"},
    {"title": "engine died", "status": 500},
    {"type": "https://x.y/errors/engine", "title": "engine died"},
    {"output": {"error": "engine died"}},
    {"output": {"error": {"message": "engine died"}}, "status": "FAILED"},
    {"output": [{"error": "engine died"}]},
    {"error": {"message": "", "code": None}, "message": "engine died", "code": 500},
    {"message": "engine died", "code": ["odd"]},
    {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "engine died"}},
    {"err": "engine died"},
    {"err": {"message": "engine died"}, "choices": []},
    {"exception": "engine died"},
    {"exception": {"type": "EngineDeadError", "message": "engine died"}},
    {"retcode": 1, "msg": "engine died"},
    {"errcode": "E12", "message": "engine died"},
    {"object": "error", "code": 500, "message": "engine died", "data": []},
    {"code": 500, "message": "engine died", "data": []},
    {"error": "None", "message": "engine died", "code": 500},
]
NO_ERRORS = [
    {"error": None},
    {"error": {}},
    {"error": ""},
    {"error": False},
    {"type": "ping"},
    {"choices": [], "usage": {}},
    {"choices": [{"index": 0}], "message": "x", "code": 5},
    {"object": "list", "data": [{"embedding": [1]}], "message": "x", "code": 5},
    {"code": 0, "message": "ok"},
    {"error": "None", "choices": [{"index": 0}]},
    {"error": "null"},
    {"error": {"code": 0, "message": "success"}, "choices": [{"index": 0}]},
    {"err": None, "exception": "None", "retcode": 0, "msg": "success"},
    {"choices": None, "base_resp": {"status_code": 0, "status_msg": "success"}},
    {"choices": [{"index": 0}], "base_resp": {"status_code": 1004, "status_msg": "x"}},
    {"message": "hello"},
    {"errors": []},
    {"errors": {}},
    {"error": {"message": "", "code": None}, "choices": [{"index": 0}]},
    {"error": {"message": None, "type": "", "param": None, "code": 0}, "choices": [{"index": 0}]},
    {"error": {"code": 200, "message": ""}, "data": [{"embedding": [1]}]},
    {"error": {"details": [{}]}},
    {"error_code": 0, "error_msg": "success"},
    {"output": {"text": "hello", "error": None}},
    {"output": "hello", "title": "a title"},
    {"title": "a title"},
    {"status": "ok", "message": "hello"},
    {},
    [],
    "error",
    None,
]


@pytest.mark.parametrize("value", ERRORS)
def test_every_shape_of_an_error_is_known(value: dict[str, Any]) -> None:
    assert may_be_error(fields_of(value))
    detail = error_in(value)
    assert detail is not None
    error = output_error(detail)
    assert "engine died" in worker_error(error)[3]


@pytest.mark.parametrize("value", NO_ERRORS)
def test_what_is_no_error_is_none(value: Any) -> None:
    assert error_in(value) is None


def test_an_error_beside_an_empty_list_of_embeddings_keeps_its_status() -> None:
    value = {"object": "error", "code": 400, "message": "bad", "data": []}
    assert may_be_error(fields_of(value))
    detail = error_in(value)
    assert detail is not None
    assert worker_error(output_error(detail))[0] == 400


def test_ordinary_chunks_are_not_searched_for_errors() -> None:
    chunk = {"id": "a", "object": "chat.completion.chunk", "choices": [{"index": 0}], "usage": None}
    assert not may_be_error(fields_of(chunk))
    assert not may_be_error(fields_of({"object": "list", "data": [], "usage": {}}))


# runpod 2.0.0rc2, `rp_prestart.py` and `rp_job.py`.
def prestart(event: str, **more: Any) -> str:
    own = {"event": event, "error_type": "X", "worker_id": "w1", "runpod_version": "2.0.0rc2", "hook": "load_model"}
    return msgspec.json.encode({**own, **more, "logs": "a tenant's prompt"}).decode()


def test_a_job_whose_worker_was_shut_down_before_it_ran_may_be_sent_again() -> None:
    error = job_error(prestart("prestart_cancelled", error_message="worker shutdown began"))
    assert isinstance(error, JobNotRunError)
    assert error.is_elsewhere_safe


def test_a_worker_that_could_not_start_says_why_without_its_logs() -> None:
    failed = job_error(prestart("prestart_failed", error_message="CUDA out of memory at /models/x/y"))
    assert reason(failed) == "The worker could not start: CUDA out of memory at …"
    assert not failed.is_elsewhere_safe
    assert reason(job_error(prestart("prestart_failed"))) == "The worker could not start."


@pytest.mark.parametrize(
    "text",
    [
        "handler: boom\nlogs:\na tenant's prompt",
        "handler: boom \ntraceback: x\nlogs:\na tenant's prompt",
        msgspec.json.encode({"error_message": "boom", "logs": "a tenant's prompt"}).decode(),
    ],
)
def test_a_worker_s_logs_stay_here(text: str) -> None:
    assert reason(job_error(text)) == "The worker failed: boom"


def test_a_text_of_an_error_is_found_in_any_shape() -> None:
    assert error_text({"title": "x"}) == error_text([{"error": {"message": "x"}}]) == "x"
    assert error_text({"error": {"message": "x"}}) == error_text("x") == error_text(["x"]) == "x"
    assert not error_text({})


@pytest.mark.parametrize(
    "progress",
    [
        {"status": "processing", "detail": "queue position 3"},
        {"code": 202, "message": "model loading"},
        {"code": "SUCCESS", "message": "queued"},
        {"code": "OK", "message": "Success", "choices": [], "usage": None},
        {"error": "N/A", "choices": [{"index": 0}]},
    ],
)
def test_what_tells_of_progress_is_no_error(progress: dict[str, object]) -> None:
    assert error_in(progress) is None


@pytest.mark.parametrize(
    "failed",
    [
        {"status": "processing", "detail": "x", "exception": "Boom"},
        {"status": "failed", "detail": "queue position 3"},
        {"code": 302, "message": "moved"},
        {"code": "E42", "message": "boom"},
        {"code": 1 << 70, "message": "boom"},
    ],
)
def test_what_tells_of_a_failure_is_an_error(failed: dict[str, object]) -> None:
    assert error_in(failed) is not None
