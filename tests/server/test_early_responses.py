"""What HTTP/1.0 clients are sent, and how a refusal looks on the wire."""

from typing import Any

import pytest

from gateway.errors import TooManyConnectionsError
from gateway.server.early_responses import UntilClose, knows_chunks, malformed, refusal
from tests.edge import error_of


class Cycle:
    """What uvicorn keeps of one response."""

    def __init__(self) -> None:
        self.keep_alive = True
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self.sent: list[tuple[dict[str, Any], bool | None, int]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append((message, self.chunked_encoding, self.expected_content_length))


async def sent(*messages: dict[str, Any]) -> Cycle:
    cycle: Any = Cycle()
    subject = UntilClose(cycle)
    for message in messages:
        await subject.send(message)  # type: ignore[arg-type]
    return cycle  # type: ignore[no-any-return]


async def test_a_response_without_a_length_is_not_chunked_and_each_part_may_be_written() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    parts = [{"type": "http.response.body", "body": body, "more_body": True} for body in (b"abc", b"")]
    cycle = await sent(start, *parts, {"type": "http.response.body"})
    assert [(chunked, length) for _, chunked, length in cycle.sent] == [(False, 0), (False, 3), (False, 0), (False, 0)]
    assert not cycle.keep_alive


async def test_a_response_with_a_length_is_left_to_the_server() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"3")]}
    cycle = await sent(start, {"type": "http.response.body", "body": b"abc"})
    assert [(chunked, length) for _, chunked, length in cycle.sent] == [(None, 0), (None, 0)]
    assert not cycle.keep_alive


@pytest.mark.parametrize(("version", "knows"), [("1.1", True), ("1.0", False), ("0.9", False), ("2.0", False)])
def test_only_http_1_1_has_chunks(version: str, knows: bool) -> None:
    assert knows_chunks(version) is knows


def test_a_refusal_is_a_whole_response_and_the_last_one() -> None:
    answer = refusal(malformed(), [(b"date", b"today")], request_id="1" * 32)
    assert error_of(answer, 400)["code"] == "invalid_http"
    assert b"\r\ndate: today\r\n" in answer
    assert b"\r\nx-request-id: " + b"1" * 32 + b"\r\n" in answer


def test_a_script_in_a_browser_may_read_a_refusal() -> None:
    answer = refusal(malformed(), [], request_id="1" * 32)
    assert b"\r\naccess-control-allow-origin: *\r\n" in answer
    assert b"\r\naccess-control-expose-headers: x-request-id, retry-after, " in answer


def test_a_refusal_of_head_has_the_same_headers_and_no_body() -> None:
    error = TooManyConnectionsError(retry_after_s=1)
    with_body, without = (refusal(error, [], request_id="1" * 32, is_head=head) for head in (False, True))
    head, _, body = with_body.partition(b"\r\n\r\n")
    names = [
        [line.split(b":")[0] for line in each.split(b"\r\n")] for each in (head, without.removesuffix(b"\r\n\r\n"))
    ]
    assert names[0] == names[1]
    assert b"content-length: %d\r\n" % len(body) in without
    assert without.endswith(b"\r\n\r\n")
