"""openai-python: every failure arrives as the exception that its users catch, with a request id."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.clients.asking import say
from tests.clients.errors import both_kinds, check_error
from tests.clients.tenants import LIMITED_KEY, NARROW_KEY, SINGLE_KEY, TENANTS
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM, Way
from tests.stacks import KEY, Stack

pytestmark = pytest.mark.server

CONTEXT_TOKENS_MAX = 50
BODY_BYTES_MAX = 65536


@pytest.fixture(scope="module", params=[JOB_VLLM, OPENAI_VLLM], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture(scope="module")
def strict_stack(way: Way) -> Iterator[Stack]:
    """A stack with tenants that may do less, and a worker with a short context."""
    settings = {"context_tokens_max": CONTEXT_TOKENS_MAX, "models": ("org/real-model",)}
    with way.stack(settings=settings, tenants=TENANTS, body_bytes_max=BODY_BYTES_MAX) as made:
        yield made


@pytest.fixture(scope="module")
def client(strict_stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=strict_stack.base_url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made


@both_kinds
@pytest.mark.parametrize("key", ["wrong", "", "rpa_test_key", KEY + "x"])
def test_bad_keys(client: openai.OpenAI, key: str, *, stream: bool) -> None:
    bad = client.with_options(api_key=key)
    with pytest.raises(openai.AuthenticationError) as caught:
        bad.chat.completions.create(
            model="m",
            messages=say("Hello"),
            stream=stream,
            extra_headers={"Authorization": f"Bearer {key}".strip()},
        )
    check_error(caught.value, status=401, code="invalid_api_key")
    assert key == "" or key not in caught.value.message


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"\xff", b"null", b'{"model": "no-such-model", "messages": []}'])
def test_a_bad_key_is_told_before_a_bad_body(strict_stack: Stack, body: bytes) -> None:
    headers = {"authorization": "Bearer wrong", "content-type": "application/json"}
    reply = httpx.post(f"{strict_stack.base_url}/chat/completions", content=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert reply.headers["x-request-id"]


def test_a_bad_key_is_told_on_every_route(client: openai.OpenAI) -> None:
    bad = client.with_options(api_key="wrong")
    calls = [
        bad.models.list,
        lambda: bad.models.retrieve("no-such-model"),
        lambda: bad.embeddings.create(model="no-such-model", input=""),
        lambda: bad.completions.create(model="m", prompt=""),
        lambda: bad.responses.create(model="m", input="Hello"),
        bad.files.list,
    ]
    for call in calls:
        with pytest.raises(openai.AuthenticationError) as caught:
            call()
        check_error(caught.value, status=401, code="invalid_api_key")


@both_kinds
@pytest.mark.parametrize("model", ["no-such-model", "org/no-such-model", "m ", "*"])
def test_unknown_models(client: openai.OpenAI, model: str, *, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model=model, messages=say("Hello"), stream=stream)
    check_error(caught.value, status=404, code="model_not_found", param="model")
    assert model in caught.value.message


@both_kinds
def test_a_model_that_the_worker_does_not_serve(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="org/with-slash", messages=say("Hello"), stream=stream)
    check_error(caught.value, status=404, code="model_not_found", param="model")


def test_unknown_models_on_other_routes(client: openai.OpenAI) -> None:
    calls = [
        lambda: client.models.retrieve("org/no-such-model"),
        lambda: client.embeddings.create(model="no-such-model", input="Hello"),
        lambda: client.completions.create(model="no-such-model", prompt="Hello"),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        check_error(caught.value, status=404, code="model_not_found", param="model")


@both_kinds
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "Hello"}, "messages", "invalid_type"),
        ({"messages": openai.omit}, "messages", "missing_required_parameter"),
        ({"model": openai.omit}, "model", "missing_required_parameter"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": 3}, "model", "invalid_type"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 129}, "n", "invalid_value"),
        ({"n": "two"}, "n", "invalid_type"),
        ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
        ({"stream_options": "yes"}, "stream_options", "invalid_type"),
    ],
)
def test_bad_fields(client: openai.OpenAI, fields: dict[str, Any], param: str, code: str, *, stream: bool) -> None:
    body = {"model": "m", "messages": say("Hello"), "stream": stream, **fields}
    body = {name: value for name, value in body.items() if value is not openai.omit}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    check_error(caught.value, status=400, code=code, param=param)
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b"3", b"\xff\xfe", b'{"model": "\xff"}', b"[" * 9999]
)
def test_bad_bodies(strict_stack: Stack, body: bytes) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    reply = httpx.post(f"{strict_stack.base_url}/chat/completions", content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.json()["error"]["code"] in {"invalid_json", "invalid_type"}


@both_kinds
def test_an_unknown_tool_is_the_workers_to_refuse(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="m",
            messages=say("Hello"),
            stream=stream,
            tools=[{"type": "function", "function": {"name": "one"}}],
            tool_choice={"type": "function", "function": {"name": "other"}},
        )
    check_error(caught.value, status=400, code=None, param="tool_choice")


@both_kinds
def test_a_prompt_that_is_too_long(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=say("word " * 60), stream=stream)
    assert (caught.value.status_code, caught.value.code) == (400, "context_length_exceeded")
    # LangChain recognises it by the message alone.
    assert "context_length_exceeded" in caught.value.message
    assert str(CONTEXT_TOKENS_MAX) in caught.value.message


@both_kinds
def test_a_model_that_the_key_may_not_use(client: openai.OpenAI, *, stream: bool) -> None:
    narrow = client.with_options(api_key=NARROW_KEY)
    assert [model.id for model in narrow.models.list()] == ["m-too"]
    with pytest.raises(openai.PermissionDeniedError) as caught:
        narrow.chat.completions.create(model="m", messages=say("Hello"), stream=stream)
    check_error(caught.value, status=403, code="model_not_allowed", param="model")


@both_kinds
def test_a_body_that_is_too_large(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=say("x" * 3 * BODY_BYTES_MAX), stream=stream)
    check_error(caught.value, status=413, code="request_too_large")


def test_the_rate_limit_of_a_tenant(client: openai.OpenAI) -> None:
    limited = client.with_options(api_key=LIMITED_KEY)
    first = limited.chat.completions.with_raw_response.create(model="m", messages=say("Hello"))
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"]
    limited.chat.completions.create(model="m", messages=say("Hello"))
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as caught:
            limited.chat.completions.create(model="m", messages=say("Hello"), stream=stream)
        check_error(caught.value, status=429, code="rate_limit_exceeded")
        assert caught.value.type == "requests"
        headers = caught.value.response.headers
        assert 1 <= int(headers["retry-after"]) <= 60
        assert 0 < int(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"])
        assert headers["x-ratelimit-remaining-requests"] == "0"


def test_one_request_at_a_time(client: openai.OpenAI, way: Way) -> None:
    single = client.with_options(api_key=SINGLE_KEY)
    with single.chat.completions.create(model="m", messages=say("slowly count to 40"), stream=True) as stream:
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as caught:
            single.chat.completions.create(model="m", messages=say("Hello"))
        check_error(caught.value, status=429, code="rate_limit_exceeded")
    if way.route == "openai":
        # No cancel is possible, so that its worker may go on: until it is done there is no place for another.
        with pytest.raises(openai.RateLimitError):
            single.chat.completions.create(model="m", messages=say("Hello"))
        return
    # The place comes back when the job is cancelled, and the client's own retry finds it.
    again = single.with_options(max_retries=1).chat.completions.create(model="m", messages=say("count to 2"))
    assert again.choices[0].message.content == "1 2"


def test_unknown_paths_and_methods(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve("resp_1")
    check_error(caught.value, status=404, code="unknown_url")
    assert "not stored" in caught.value.message
    with pytest.raises(openai.NotFoundError) as caught:
        client.files.list()
    check_error(caught.value, status=404, code="unknown_url")
    with pytest.raises(openai.APIStatusError) as wrong_method:
        client.get("/chat/completions", cast_to=object)
    check_error(wrong_method.value, status=405, code=wrong_method.value.code)
