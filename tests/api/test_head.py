"""HEAD is answered wherever GET is: the same status and headers, and no body (RFC 9110, 9.3.2)."""

from collections.abc import Iterator

import httpx
import pytest

from gateway.api.openapi import describe
from tests.stacks import ENDPOINT_ID, KEY, Stack, stack

PATHS = [path for path, item in describe(has_metrics=True)["paths"].items() if "get" in item]
VARYING = {"date", "x-request-id", "request-id"}


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack() as made:
        yield made


def both(running: Stack, path: str, *, key: str) -> tuple[httpx.Response, httpx.Response]:
    url = running.url + path.format(model_id="org/with-slash", endpoint_id=ENDPOINT_ID)
    get, head = (httpx.request(each, url, headers={"authorization": f"Bearer {key}"}) for each in ("GET", "HEAD"))
    return get, head


def test_there_are_such_paths() -> None:
    assert {"/", "/readyz", "/metrics", "/openapi.json", "/v1/models", "/v1/models/{model_id}"} < set(PATHS)


@pytest.mark.server
@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(running: Stack, path: str) -> None:
    get, head = both(running, path, key=KEY)
    assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
    assert get.content
    assert set(get.headers) == set(head.headers)
    # Each scrape counts something more.
    varying = VARYING | ({"content-length"} if path == "/metrics" else set())
    assert {name: value for name, value in get.headers.items() if name not in varying} == {
        name: value for name, value in head.headers.items() if name not in varying
    }


@pytest.mark.server
@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v1/models", "nobody", 401),
        ("/v1/models/nope", KEY, 404),
        ("/v1/nothing", KEY, 404),
        ("/v1/nothing", "nobody", 401),
        ("/nothing", KEY, 404),
        ("/v1/chat/completions", KEY, 405),
    ],
)
def test_errors_have_no_body_either(running: Stack, path: str, key: str, status: int) -> None:
    get, head = both(running, path, key=key)
    assert (get.status_code, head.status_code, head.content) == (status, status, b"")
    assert get.headers.get("www-authenticate") == head.headers.get("www-authenticate")
    if status != 405:
        # The text of a 405 names the method.
        assert get.headers["content-length"] == head.headers["content-length"]


@pytest.mark.server
def test_a_connection_goes_on_after_head(running: Stack) -> None:
    with httpx.Client(base_url=running.url) as client:
        for method in ("HEAD", "GET", "HEAD", "GET"):
            assert client.request(method, "/readyz").status_code == 200


@pytest.mark.server
def test_a_gateway_that_is_not_ready_says_so_to_head(running: Stack) -> None:
    running.gateway.exchanges.is_draining = True
    try:
        get, head = both(running, "/readyz", key=KEY)
    finally:
        running.gateway.exchanges.is_draining = False
    assert (get.status_code, head.status_code, head.content) == (503, 503, b"")
