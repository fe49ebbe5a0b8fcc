import math
from typing import Any

import httpx
import pytest

from gateway.upstream.http.outgoing import Origin, Parts, connect_s_max, origin_of, outgoing_of


def test_the_bytes_of_a_request() -> None:
    made = outgoing_of(httpx.Request("POST", "http://h:81/p?q=a b", headers={"x-a": "1"}, content=b"body"))
    assert made.head == b"POST /p?q=a%20b HTTP/1.1\r\nHost: h:81\r\nx-a: 1\r\nContent-Length: 4\r\n\r\n"
    assert made.parts == (b"body",)
    assert made.method == "POST"


async def test_a_body_in_parts_is_not_put_together() -> None:
    parts = Parts([b"ab", memoryview(b"cd"), b""])
    request = httpx.Request("POST", "http://h/", headers={"content-length": str(parts.size)}, stream=parts)
    made = outgoing_of(request)
    assert made.head.lower().count(b"content-length: 4\r\n") == 1
    assert b"chunked" not in made.head
    assert made.parts[1] is parts.parts[1]
    assert await request.aread() == b"abcd"


def test_an_empty_post_says_that_it_is_empty() -> None:
    assert b"\r\nContent-Length: 0\r\n" in outgoing_of(httpx.Request("POST", "http://h/", content=b"")).head


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\0b"])
def test_a_header_stays_in_its_line(value: bytes) -> None:
    with pytest.raises(httpx.LocalProtocolError) as caught:
        outgoing_of(httpx.Request("GET", "http://h/", headers=[(b"authorization", value)]))
    assert "evil" not in str(caught.value)


def test_a_body_has_to_be_in_memory() -> None:
    async def pieces() -> Any:
        yield b"a"

    with pytest.raises(httpx.RequestNotRead):
        outgoing_of(httpx.Request("POST", "http://h/", content=pieces()))


def test_times_are_the_request_s() -> None:
    request = httpx.Request("GET", "http://h/", extensions={"timeout": {"connect": 1.0, "read": 2.0, "write": None}})
    made = outgoing_of(request)
    assert (connect_s_max(request), made.read_s_max, made.write_s_max) == (1.0, 2.0, math.inf)
    assert outgoing_of(httpx.Request("GET", "http://h/")).read_s_max == math.inf


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://Example.com", Origin(is_tls=False, host="example.com", port=80)),
        ("https://example.com/a", Origin(is_tls=True, host="example.com", port=443)),
        ("https://[::1]:8443/", Origin(is_tls=True, host="::1", port=8443)),
        ("http://b\u00fccher.example/", Origin(is_tls=False, host="xn--bcher-kva.example", port=80)),
    ],
)
def test_origins(url: str, origin: Origin) -> None:
    assert origin_of(httpx.URL(url)) == origin
