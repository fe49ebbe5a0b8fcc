from collections.abc import Callable, Iterable

import pytest

from gateway.api.asgi_sink import SLICE_BYTES
from gateway.api.connection_sink import ConnectionSink
from gateway.api.request_context import RequestContext
from gateway.exchange.client_response import ClientResponse, KeepAliveIntervals
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.error_body import ErrorAnswer
from tests.fakes.clock import FakeClock

CHAT = CLIENT_FORMATS[0]


class Client:
    """A connection whose client may be slow."""

    def __init__(self) -> None:
        self.on_ready: Callable[[], None] | None = None
        self.is_slow = False
        self.headers: dict[bytes, bytes] = {}
        self.written: list[bytes] = []
        self.is_finished = False

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        assert not self.headers
        self.headers = dict(headers)

    def write(self, data: bytes) -> bool:
        assert data
        self.written.append(data)
        return not self.is_slow

    def finish(self, data: bytes) -> None:
        self.written.append(data)
        self.is_finished = True


class Silent:
    """Events of an answer that is not a stream."""

    def idle_chunk(self) -> bytes:
        return b""

    def failure(self, answer: ErrorAnswer) -> bytes:
        del answer
        return b""


class Story:
    def __init__(self, *, is_stream: bool) -> None:
        self.clock = FakeClock(100.0)
        self.client = Client()
        self.response = ClientResponse(
            CHAT,
            KeepAliveIntervals(comment_s=10, blank_s=50),
            is_stream=is_stream,
            events=Silent(),
            now_s=self.clock.now_s,
        )
        self.context = RequestContext()
        self.sink = ConnectionSink(self.client, self.response, self.context, self.clock)


def test_a_stream_begins_with_its_first_part_and_the_headers_of_its_request() -> None:
    story = Story(is_stream=True)
    assert story.client.headers == {}
    story.sink.send(b"a")
    story.sink.send(b"b")
    assert story.sink.finish(b"c")
    assert story.client.headers[b"x-request-id"] == story.context.request_id.encode()
    assert (story.client.written, story.client.is_finished) == ([b"a", b"b", b"c"], True)


@pytest.mark.parametrize("is_stream", [True, False])
def test_keepalive_data_is_sent_when_it_is_due_and_not_into_a_full_buffer(is_stream: bool) -> None:
    story = Story(is_stream=is_stream)
    story.sink.check(109)
    assert story.client.headers == {}
    story.client.is_slow = True
    story.sink.check(150)
    assert story.client.written == []
    story.client.is_slow = False
    story.sink.check(150)
    story.sink.check(151)
    assert story.client.written == [b": keep-alive\n\n" if is_stream else b"\n"]
    story.sink.finish(b"{}")
    story.sink.check(1000)
    assert len(story.client.written) == 2


def test_a_large_body_is_written_as_its_client_reads_it() -> None:
    story = Story(is_stream=False)
    body = bytes(range(256)) * (4 * SLICE_BYTES // 256) + b"end"
    write = story.client.write

    def fill(data: bytes) -> bool:
        write(data)
        story.client.is_slow = True
        return False

    story.client.write = fill  # type: ignore[method-assign]
    is_sent, rounds = story.sink.finish(body), 1
    while not is_sent:
        assert len(story.client.written) == rounds
        story.client.is_slow = False
        is_sent, rounds = story.sink.finish_rest(), rounds + 1
    assert (b"".join(story.client.written), rounds) == (body, 5)
    assert max(map(len, story.client.written)) == SLICE_BYTES
    assert story.client.headers[b"content-length"] == str(len(body)).encode()


def test_output_ends_a_silence() -> None:
    story = Story(is_stream=True)
    assert story.sink.send(b"a")
    story.sink.check(105)
    story.sink.check(114)
    assert story.client.written == [b"a"]
    story.sink.check(115)
    assert story.client.written == [b"a", b": keep-alive\n\n"]


def test_a_closed_sink_calls_its_driver_no_more() -> None:
    story = Story(is_stream=False)
    story.sink.on_ready = lambda: None
    story.client.is_slow = True
    assert not story.sink.finish(b"{}")
    story.sink.close()
    assert story.client.on_ready is None
