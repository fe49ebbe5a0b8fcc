"""openai-python: what a client sees when a job, a worker or Runpod fails."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.clients.asking import say
from tests.clients.conftest import StackOf
from tests.clients.errors import both_kinds, check_error
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM, Way
from tests.stacks import KEY

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=[JOB_VLLM, OPENAI_VLLM], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture
def faults(stack_of: StackOf, way: Way) -> Iterator[Any]:
    """Switches faults on for one test."""
    yield stack_of(way).set_faults
    stack_of(way).set_faults()


@both_kinds
@pytest.mark.parametrize("kind", ["generator", "handler", "yielded", "platform", "vllm_died", "no_output"])
def test_jobs_that_fail(client: openai.OpenAI, kind: str, *, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(
            model="m", messages=say(f"count to 5 #fail={kind} #fail-status=500"), stream=stream
        )
    assert caught.value.code in {"server_error", "worker_error"}
    check_error(caught.value, status=502, code=caught.value.code)
    assert caught.value.type == "server_error"
    assert "Traceback" not in caught.value.message
    assert "/src/" not in caught.value.message


@both_kinds
@pytest.mark.parametrize("kind", ["yielded", "vllm_http", "error_event", "flat_error"])
@pytest.mark.parametrize(
    ("status", "exception"),
    [(400, openai.BadRequestError), (404, openai.NotFoundError), (429, openai.RateLimitError)],
)
def test_errors_of_the_model_server_keep_their_status(
    client: openai.OpenAI,
    kind: str,
    status: int,
    exception: type[openai.APIStatusError],
    *,
    stream: bool,
) -> None:
    with pytest.raises(exception) as caught:
        client.chat.completions.create(
            model="m", messages=say(f"count to 5 #fail={kind} #fail-status={status}"), stream=stream
        )
    assert caught.value.status_code == status
    assert caught.value.code is None or isinstance(caught.value.code, str)


@pytest.mark.parametrize("kind", ["generator", "platform", "vllm_died", "error_event"])
def test_a_failure_in_the_middle_of_a_stream_is_raised(client: openai.OpenAI, kind: str) -> None:
    # A failure in the page that brings the first text is an HTTP error. Here it comes a second later.
    stream = client.chat.completions.create(
        model="m", messages=say(f"count to 40 #fail={kind} #fail-after=10 #interval=0.1"), stream=True
    )
    chunks: list[ChatCompletionChunk] = []
    with stream, pytest.raises(openai.APIError) as caught:
        chunks.extend(stream)
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)
    assert type(caught.value) is openai.APIError
    assert caught.value.type


def test_the_client_tries_again_after_a_bad_gateway(client: openai.OpenAI, faults: Any, way: Way) -> None:
    operation = "run" if way.route == "job" else "openai"
    faults(refused_calls=1, refused_status=500, refused_operations=[operation])
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=say("Hello"))
    check_error(caught.value, status=502, code="server_error")
    faults(refused_calls=1, refused_status=500, refused_operations=[operation])
    retrying = client.with_options(max_retries=1)
    assert retrying.chat.completions.create(model="m", messages=say("count to 2")).choices[0].message.content == "1 2"


def test_an_endpoint_that_refuses_calls_is_busy(client: openai.OpenAI, faults: Any) -> None:
    faults(refused_calls=100, refused_status=429, refused_operations=["run", "openai"])
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=say("Hello"))
    check_error(caught.value, status=503, code="server_is_overloaded")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_a_gateway_with_a_wrong_key_of_its_own(way: Way) -> None:
    with (
        way.stack(endpoint={"api_key": "rpa_wrong"}) as stack,
        openai.OpenAI(base_url=stack.base_url, api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model="m", messages=say("Hello"))
    check_error(caught.value, status=502, code="server_error")
    assert "rpa_" not in caught.value.message
