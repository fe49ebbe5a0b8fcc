"""What every answer carries, whatever it answers."""

from collections.abc import Iterator

import httpx
import pytest

from tests.stacks import KEY, Stack, stack

pytestmark = pytest.mark.server

HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack() as made:
        yield made


ANSWERS = [
    ("GET", "/livez", 200),
    ("GET", "/v1/models", 200),
    ("GET", "/v1/nothing", 404),
    ("GET", "/nothing", 404),
    ("GET", "/v1/chat/completions", 405),
    ("POST", "/v1/chat/completions", 400),
    ("OPTIONS", "/v1/chat/completions", 204),
    ("HEAD", "/", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_has_a_request_id_and_may_be_read_by_browsers(
    running: Stack, method: str, path: str, status: int
) -> None:
    answers = [httpx.request(method, running.url + path, headers={**HEADERS, "origin": "https://x"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]
    assert answers[0].headers["access-control-allow-origin"] == "*"
    assert answers[0].headers.get_list("cache-control") == ["no-store"]
    if status >= 400:
        assert set(answers[0].json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_completion_is_not_cached_either(running: Stack, stream: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}], "stream": stream}
    answer = httpx.post(f"{running.base_url}/chat/completions", json=body, headers=HEADERS)
    assert answer.status_code == 200
    assert answer.headers.get_list("cache-control") == ["no-store"]


def test_a_preflight_allows_what_is_asked_for_without_a_key(running: Stack) -> None:
    asked = "authorization, x-stainless-lang, user-agent"
    answer = httpx.options(
        f"{running.base_url}/chat/completions",
        headers={
            "origin": "https://x",
            "access-control-request-headers": asked,
            "access-control-request-method": "POST",
        },
    )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == asked
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_who_is_no_browser_gets_no_cors_headers(running: Stack) -> None:
    assert "access-control-allow-origin" not in httpx.get(f"{running.url}/livez").headers
