"""Tokens are counted here: no call goes to Runpod, whatever is asked."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.config.keys import key_line
from tests.stacks import KEY, Stack, stack
from tests.waiting import eventually

pytestmark = pytest.mark.server

BODY = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]}
TENANTS = [
    {"name": "acme", "keys": [key_line(KEY)]},
    {"name": "small", "keys": [key_line("small-key")], "models": ["org/with-slash"]},
    {"name": "capped", "keys": [key_line("capped-key")], "requests_per_minute": 2, "max_in_flight": 1},
]
MODELS = [
    {"id": "m", "endpoint": "chat"},
    {"id": "org/with-slash", "endpoint": "chat"},
    {"id": "embedder", "endpoint": "chat", "kind": "embedding"},
]
PATH = "/v1/messages/count_tokens"


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack(tenants=TENANTS, models=MODELS, body_bytes_max=20_000) as made:
        yield made


def count(running: Stack, body: Any = BODY, *, key: str | None = KEY, path: str = PATH) -> httpx.Response:
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"} if key else {}
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx.post(running.url + path, headers=headers, **content)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        f"{PATH}?beta=true",
        "/messages/count_tokens",
        f"/anthropic{PATH}",
        f"/v1{PATH}",
        f"/v2/ep1/openai{PATH}",
    ],
)
def test_the_count_is_the_estimate_and_nothing_is_sent(running: Stack, path: str) -> None:
    before = running.asked()
    answer = count(running, path=path)
    assert answer.status_code == 200
    assert 1000 <= answer.json()["input_tokens"] < 1100
    assert set(answer.json()) == {"input_tokens"}
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert running.asked() == before


def test_tools_and_the_system_prompt_count(running: Stack) -> None:
    tools = [{"name": "f", "description": "x" * 4000, "input_schema": {"type": "object"}}]
    more = count(running, BODY | {"system": "x" * 4000, "tools": tools}).json()["input_tokens"]
    assert more > count(running).json()["input_tokens"] + 2000


@pytest.mark.parametrize(
    ("key", "body", "path", "status", "kind"),
    [
        (None, BODY, PATH, 401, "authentication_error"),
        ("wrong", b"no json", PATH, 401, "authentication_error"),
        ("small-key", BODY, PATH, 403, "permission_error"),
        (KEY, BODY | {"model": "nope"}, PATH, 404, "not_found_error"),
        (KEY, BODY, f"/v2/nope/openai{PATH}", 404, "not_found_error"),
        (KEY, BODY | {"model": "embedder"}, PATH, 400, "invalid_request_error"),
        (KEY, b"{", PATH, 400, "invalid_request_error"),
        (KEY, {"model": "m"}, PATH, 400, "invalid_request_error"),
        (KEY, BODY | {"x": "y" * 30_000}, PATH, 413, "request_too_large"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    running: Stack, key: str | None, body: Any, path: str, status: int, kind: str
) -> None:
    answer = count(running, body, key=key, path=path)
    assert (answer.status_code, answer.json()["type"], answer.json()["error"]["type"]) == (status, "error", kind)
    assert answer.json()["request_id"] == answer.headers["request-id"]


def test_a_count_is_a_request_of_its_tenant_and_leaves_nothing_behind(running: Stack) -> None:
    body = BODY | {"model": "m"}
    answers = [count(running, body, key="capped-key") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"]
    line = 'gateway_requests_total{model="m",outcome="completed",route="",tenant="capped"} 2.0'
    assert eventually(lambda: line in httpx.get(f"{running.url}/metrics").text)
