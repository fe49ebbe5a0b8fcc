"""anthropic-python: every failure arrives as the exception that its users catch, with a request id."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.clients.anthropic_tools import say
from tests.clients.errors import both_kinds
from tests.clients.tenants import LIMITED_KEY, NARROW_KEY, REQUESTS_PER_MINUTE, TENANTS
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM, Way
from tests.stacks import KEY, Stack

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=[JOB_VLLM, OPENAI_VLLM], ids=str)
def strict_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack with tenants that may do less, and a worker with a short context."""
    way: Way = request.param
    settings = {"context_tokens_max": 50, "models": ("org/real-model",)}
    with way.stack(settings=settings, tenants=TENANTS, body_bytes_max=65536) as made:
        yield made


@pytest.fixture
def client(strict_stack: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=strict_stack.url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made
    strict_stack.set_faults()


def ask(client: anthropic.Anthropic, text: str, *, stream: bool, **asked: Any) -> None:
    made = client.messages.create(**{"model": "m", "max_tokens": 20, "messages": say(text), "stream": stream, **asked})
    if stream:
        list(made)


def check_error(error: anthropic.APIStatusError, *, status: int, kind: str) -> None:
    assert error.status_code == status
    body: Any = error.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert error.request_id == body["request_id"] == error.response.headers["x-request-id"]


@both_kinds
@pytest.mark.parametrize(
    ("key", "asked", "exception", "status", "kind"),
    [
        ("wrong", {}, anthropic.AuthenticationError, 401, "authentication_error"),
        (NARROW_KEY, {"model": "org/with-slash"}, anthropic.PermissionDeniedError, 403, "permission_error"),
        (KEY, {"model": "no-such-model"}, anthropic.NotFoundError, 404, "not_found_error"),
        (KEY, {"messages": []}, anthropic.BadRequestError, 400, "invalid_request_error"),
        (KEY, {"messages": say("x" * 70_000)}, anthropic.RequestTooLargeError, 413, "request_too_large"),
    ],
)
def test_requests_that_are_refused(
    client: anthropic.Anthropic,
    key: str,
    asked: Any,
    exception: type[anthropic.APIStatusError],
    status: int,
    kind: str,
    *,
    stream: bool,
) -> None:
    with pytest.raises(exception) as caught:
        ask(client.with_options(api_key=key), "Hello", stream=stream, **asked)
    check_error(caught.value, status=status, kind=kind)


@both_kinds
def test_a_prompt_that_is_too_long_is_told_with_both_numbers(client: anthropic.Anthropic, *, stream: bool) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 50 maximum") as caught:
        ask(client, "word " * 100, stream=stream)
    check_error(caught.value, status=400, kind="invalid_request_error")
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_limit_is_told_with_the_time_to_wait(client: anthropic.Anthropic) -> None:
    limited = client.with_options(api_key=LIMITED_KEY)
    for _ in range(REQUESTS_PER_MINUTE):
        ask(limited, "Hello", stream=False)
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(limited, "Hello", stream=False)
    check_error(caught.value, status=429, kind="rate_limit_error")
    assert int(caught.value.response.headers["retry-after"]) >= 1


@both_kinds
def test_a_busy_endpoint_is_overloaded(strict_stack: Stack, client: anthropic.Anthropic, *, stream: bool) -> None:
    strict_stack.set_faults(refused_calls=100, refused_status=429, refused_operations=["run", "openai"])
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(client, "Hello", stream=stream)
    check_error(caught.value, status=503, kind="overloaded_error")
    assert int(caught.value.response.headers["retry-after"]) >= 1


@both_kinds
def test_a_job_that_fails(client: anthropic.Anthropic, *, stream: bool) -> None:
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(client, "count to 5 #fail=generator #fail-status=500", stream=stream)
    check_error(caught.value, status=502, kind="api_error")


@pytest.mark.parametrize("kind", ["generator", "platform", "vllm_died", "error_event"])
def test_a_failure_in_the_middle_of_a_stream_is_raised(client: anthropic.Anthropic, kind: str) -> None:
    asked = say(f"count to 40 #fail={kind} #fail-after=10 #interval=0.1")
    said: list[str] = []
    stream = client.messages.stream(model="m", max_tokens=45, messages=asked)
    with stream as events, pytest.raises(anthropic.APIStatusError) as caught:
        said.extend(events.text_stream)
    assert said
    body: Any = caught.value.body
    # The last of them is an error that the worker says is the client's.
    expected = "invalid_request_error" if kind == "error_event" else "api_error"
    assert (body["type"], body["error"]["type"]) == ("error", expected)


def test_paths_that_are_not_served(strict_stack: Stack, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.batches.list()
    check_error(caught.value, status=404, kind="not_found_error")
    answer = httpx.get(f"{strict_stack.url}/v1/messages", headers={"anthropic-version": "2023-06-01"})
    assert (answer.status_code, answer.json()["type"]) == (405, "error")
