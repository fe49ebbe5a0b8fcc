"""A gateway on a real socket, asked by clients of HTTP/1.0: no chunks, and the close is the end."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.app import Gateway
from gateway.config.loader import parse_config
from gateway.exchange.client_response import KeepAliveIntervals
from tests.edge import read_all
from tests.fakes.runpod import FakeRunpod
from tests.serving import serving_gateway
from tests.stacks import KEY, config_of
from tests.subject import CHAT, PAGES
from tests.waiting import BOUND_S

pytestmark = pytest.mark.server

COLD: list[Any] = [("IN_QUEUE", []), ("IN_QUEUE", [])]
WHOLE = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
}


@contextlib.contextmanager
def gateway(*pages: Any) -> Iterator[str]:
    """A gateway whose jobs are cold for longer than an answer may be silent, and then give these pages."""
    runpod = FakeRunpod(pages=[*COLD, *pages])
    intervals = KeepAliveIntervals(comment_s=0.03, chunk_s=0.1, blank_s=0.03)
    made = Gateway(parse_config(config_of("http://127.0.0.1:1"), {}), transport=runpod, intervals=intervals)
    with serving_gateway(made.app) as url:
        yield url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway(*PAGES) as made:
        yield made


def ask(url: str, line: str, *, key: str = KEY, body: dict[str, Any] | None = None) -> tuple[int, str, bytes]:
    """The status, the headers in small letters, and the body until the server closes."""
    content = json.dumps(body).encode() if body else b""
    head = f"{line} HTTP/1.0\r\nauthorization: Bearer {key}\r\ncontent-length: {len(content)}\r\n\r\n"
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=BOUND_S) as client:
        client.sendall(head.encode() + content)
        answered, _, rest = read_all(client).partition(b"\r\n\r\n")
    status, _, headers = answered.decode().lower().partition("\r\n")
    assert "transfer-encoding" not in headers
    assert "connection: close" in headers
    return int(status.split()[1]), headers, rest


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}


def test_a_stream(url: str) -> None:
    status, headers, body = ask(url, f"POST {CHAT}", body=asked(stream=True))
    assert (status, "content-length" in headers) == (200, False)
    assert body.startswith(b": keep-alive\n\n")
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_whole_answer_that_begins_with_blank_lines() -> None:
    with gateway(("COMPLETED", [WHOLE])) as url:
        status, headers, body = ask(url, f"POST {CHAT}", body=asked())
    assert (status, "content-length" in headers) == (200, False)
    assert body.startswith(b"\n")
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hello there"


@pytest.mark.parametrize(
    ("line", "key", "status"),
    [
        ("GET /v1/models", KEY, 200),
        ("GET /v1/models", "nobody", 401),
        ("GET /v1/nothing", KEY, 404),
        ("PUT /livez", KEY, 405),
    ],
)
def test_short_answers_have_a_length(url: str, line: str, key: str, status: int) -> None:
    answered, headers, body = ask(url, line, key=key)
    assert answered == status
    assert f"content-length: {len(body)}\r\n" in headers
    assert json.loads(body)


def test_head(url: str) -> None:
    status, headers, body = ask(url, "HEAD /livez")
    assert (status, body) == (200, b"")
    assert "content-length: 15" in headers
