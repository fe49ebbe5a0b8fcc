from typing import Any

import msgspec
import pytest

from gateway.errors import OutputLostError
from gateway.exchange.client_response import ClientResponse, KeepAliveIntervals
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.error_body import ErrorAnswer

INTERVALS = KeepAliveIntervals(comment_s=10, chunk_s=60, blank_s=50)
COMMENT = b": keep-alive\n\n"
(CHAT,) = [each for each in CLIENT_FORMATS if each.path == "/v1/chat/completions"]


class Events(msgspec.Struct):
    """Events of a stream whose writer is open, or, without bytes, of one that has none."""

    idle: bytes = b"idle"
    last: bytes = b""

    def idle_chunk(self) -> bytes:
        return self.idle

    def failure(self, answer: ErrorAnswer) -> bytes:
        return self.last and self.last + answer.detail.message.encode()


def response(*, is_stream: bool = True, **events: bytes) -> ClientResponse:
    return ClientResponse(CHAT, INTERVALS, is_stream=is_stream, events=Events(**events), now_s=100.0)


@pytest.mark.parametrize(("is_stream", "after_s"), [(True, 10), (False, 50)])
def test_keepalive_data_is_due_after_a_silence(is_stream: bool, after_s: float) -> None:
    subject = response(is_stream=is_stream)
    assert subject.keepalive_at_s == 100 + after_s
    subject.keepalive(120)
    assert subject.keepalive_at_s == 120 + after_s
    subject.output_sent(130)
    assert subject.keepalive_at_s == 130 + after_s


def test_a_stream_without_output_gets_an_empty_chunk_in_each_interval() -> None:
    subject = response()
    sent = [subject.keepalive(100.0 + 10 * count) for count in range(1, 13)]
    assert sent == [*[COMMENT] * 5, b"idle", *[COMMENT] * 5, b"idle"]
    subject.output_sent(225)
    assert [subject.keepalive(235), subject.keepalive(285)] == [COMMENT, b"idle"]


def test_where_no_empty_chunk_exists_a_comment_is_sent() -> None:
    assert response(idle=b"").keepalive(500) == COMMENT


def test_a_whole_body_begins_with_its_length_unless_something_precedes_it() -> None:
    first, later = response(is_stream=False), response(is_stream=False)
    assert dict(first.begin(b"12345"))[b"content-length"] == b"5"
    assert b"content-length" not in dict(later.begin())
    assert later.keepalive(200) == b"\n"
    assert first.has_begun
    assert later.has_begun


@pytest.mark.parametrize("error", [OutputLostError("boom"), ZeroDivisionError("secret")])
def test_a_late_failure_is_an_event_of_a_stream_and_cannot_be_told_in_a_body(error: Any) -> None:
    event = response().failure(error)
    assert event is not None
    assert event.startswith(b"data: ")
    assert b"secret" not in event
    assert response(is_stream=False).failure(error) is None


def test_a_late_failure_is_written_by_the_writer_of_the_stream() -> None:
    assert response(last=b"failed: ").failure(OutputLostError("boom")) == b"failed: boom"
