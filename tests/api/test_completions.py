"""Key, body and model are checked before anything is sent upstream."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS
from gateway.config.keys import key_line
from tests.stacks import KEY, Stack, stack
from tests.waiting import eventually

pytestmark = pytest.mark.server

HEADERS = {"authorization": f"Bearer {KEY}"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}]}
TENANTS = [
    {"name": "acme", "keys": [key_line(KEY)]},
    {"name": "small", "keys": [key_line("small-key")], "models": ["org/with-slash"]},
    {"name": "capped", "keys": [key_line("capped-key")], "requests_per_minute": 2},
    {"name": "old", "keys": [{"sha256": key_line("old-key"), "expires_at": "2020-01-01T00:00:00Z"}]},
]
MODELS = [
    {"id": "m", "endpoint": "chat", "kind": "chat"},
    {"id": "org/with-slash", "endpoint": "chat"},
    {"id": "embedder", "endpoint": "chat", "kind": "embedding"},
]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack(tenants=TENANTS, models=MODELS, body_bytes_max=20_000) as made:
        yield made


def post(running: Stack, body: Any, path: str = "/v1/chat/completions", key: str | None = KEY) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx.post(running.url + path, headers=headers, **content)  # type: ignore[arg-type]


REFUSED = [
    (None, CHAT, 401, "invalid_api_key"),
    ("wrong", b"not even json", 401, "invalid_api_key"),
    ("old-key", CHAT, 401, "invalid_api_key"),
    (KEY, b"{", 400, "invalid_json"),
    (KEY, b"null", 400, "invalid_type"),
    (KEY, CHAT | {"model": "nope"}, 404, "model_not_found"),
    (KEY, CHAT | {"model": "nope", "stream": True}, 404, "model_not_found"),
    (KEY, CHAT | {"model": "*"}, 404, "model_not_found"),
    ("small-key", CHAT, 403, "model_not_allowed"),
    (KEY, CHAT | {"model": "embedder"}, 400, "invalid_value"),
    (KEY, CHAT | {"x": "y" * 30_000}, 413, "request_too_large"),
]


def scraped(running: Stack, line: str) -> str:
    """Return the metrics with this line; a page that is younger than a second is served as it is."""

    def with_line() -> str:
        metrics = httpx.get(f"{running.url}/metrics").text
        return metrics if line in metrics else ""

    return eventually(with_line)


@pytest.mark.parametrize(("key", "body", "status", "code"), REFUSED)
def test_what_cannot_be_served_is_refused_and_nothing_is_sent(
    running: Stack, key: str | None, body: Any, status: int, code: str
) -> None:
    before = running.asked()
    answer = post(running, body, key=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert running.asked() == before


def test_refusals_are_counted_under_bounded_labels(running: Stack) -> None:
    for number in range(20):
        post(running, CHAT | {"model": f"hostile-{number}"})
    metrics = scraped(running, 'gateway_requests_total{model="",outcome="rejected",route="",tenant="acme"}')
    assert "hostile" not in metrics


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v2/ep1/openai/v1/chat/completions"])
def test_the_paths_that_people_arrive_at(running: Stack, path: str) -> None:
    assert post(running, CHAT, path).json()["choices"][0]["message"]["content"] == "1 2 3"


def test_every_api_has_its_route(running: Stack) -> None:
    bodies = {
        CHAT_COMPLETIONS: CHAT,
        COMPLETIONS: {"model": "m", "prompt": "count to 3"},
        EMBEDDINGS: {"model": "embedder", "input": "x"},
    }
    kinds = {api: post(running, body, api.path).json()["object"] for api, body in bodies.items()}
    assert kinds == {
        CHAT_COMPLETIONS: "chat.completion",
        COMPLETIONS: "text_completion",
        EMBEDDINGS: "list",
    }


def test_a_cap_is_told_in_headers_and_then_enforced(running: Stack) -> None:
    answers = [post(running, CHAT, key="capped-key") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    refused = answers[2]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert 0 < int(refused.headers["retry-after-ms"]) <= 30_000
    scraped(running, 'gateway_refusals_total{reason="rate_limit_exceeded",tenant="capped"} 1.0')
