"""What a stranger may send as a head, and beside a body; how a request is read is told in test_http_protocol.py."""

import contextlib
from collections.abc import Iterator

import pytest

from gateway.connection_limits import Refusal
from gateway.server.request_parser import CHUNKS_MAX_PER_TURN, HEADER_LINES_MAX
from tests.edge import Edge, edge, error_of, read_all, read_one
from tests.waiting import eventually

pytestmark = pytest.mark.server

CHUNKED = b"POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
SIZE = 1_000_000
FRAMING = {
    "trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * (SIZE // 6),
    "one trailer": CHUNKED + b"0\r\na: " + b"b" * SIZE,
    "an extension": CHUNKED + b"1;" + b"e" * SIZE,
    "extensions": CHUNKED + (b"1;" + b"e" * 1000 + b"\r\nx\r\n") * (SIZE // 1000),
    "the size of a chunk": CHUNKED + b"0" * SIZE,
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge() as made:
        yield made


@pytest.fixture
def server(shared: Edge) -> Edge:
    eventually(lambda: not shared.open)
    shared.app.seen.clear()
    shared.refused.clear()
    return shared


@pytest.mark.parametrize("kind", FRAMING)
def test_framing_is_no_way_around_the_bound_of_a_head(server: Edge, kind: str) -> None:
    with server.connect() as client:
        # It closes as soon as it has seen too much.
        with contextlib.suppress(ConnectionError):
            client.sendall(FRAMING[kind])
        error_of(read_all(client), 431)
    assert [reason for reason, _ in server.refused] == [Refusal.TOO_LARGE]
    eventually(lambda: server.app.seen == ["/length", "gone"])


@pytest.mark.parametrize("kind", FRAMING)
def test_it_is_none_after_an_early_answer_either(server: Edge, kind: str) -> None:
    with server.connect() as client:
        client.sendall(CHUNKED.replace(b"/length", b"/unread"))
        assert read_one(client).endswith(b"early")
        with contextlib.suppress(ConnectionError):
            client.sendall(FRAMING[kind].removeprefix(CHUNKED))
        assert read_all(client) == b""
    eventually(lambda: not server.open)


def test_empty_lines_without_end_are_refused(server: Edge) -> None:
    with server.connect() as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(b"\r\n" * SIZE)
        read_all(client)
    assert [reason for reason, _ in server.refused] == [Refusal.TOO_LARGE]


def test_trailers_are_read_and_dropped(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(CHUNKED + b"3;a=b\r\nabc\r\n0\r\nexpect: 100-continue\r\nx-secret: y\r\n\r\n")
        assert read_one(client).endswith(b"\r\n\r\n3")
        assert [name for name, _ in server.until(lambda each: each).scope["headers"]] == [b"host", b"transfer-encoding"]


def test_a_body_may_come_in_chunks_of_a_byte(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        assert read_one(client).endswith(b"\r\n\r\n50000")


@pytest.mark.parametrize("chunks", [CHUNKS_MAX_PER_TURN, CHUNKS_MAX_PER_TURN + 1, 50_000])
def test_a_body_in_many_chunks_is_read_over_several_turns(server: Edge, chunks: int) -> None:
    """In one read with what follows it: other connections have their turn in between, and nothing is lost."""
    with server.connect() as client:
        body = b"1\r\nx\r\n" * chunks + b"c350\r\n" + b"y" * 50_000 + b"\r\n0\r\n\r\n"
        client.sendall(CHUNKED + body)
        assert read_one(client).endswith(b"\r\n\r\n%d" % (chunks + 50_000))
        # The connection is read from again.
        client.sendall(CHUNKED + b"1\r\nx\r\n0\r\n\r\n")
        assert read_one(client).endswith(b"\r\n\r\n1")
    assert server.refused == []


def test_an_incomplete_head_of_many_lines_is_refused_and_freed(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(b"GET /unread HTTP/1.1\r\n" + b"a:\r\n" * (HEADER_LINES_MAX + 2))
        error_of(read_one(client), 431)
        assert server.until(lambda each: each).headers == []
    assert [reason for reason, _ in server.refused] == [Refusal.TOO_LARGE]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /unread HTTP/1.1\r\n\r\n",
        b"GET /unread HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        b"GET /unread HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /unread HTTP/1.1\r\nhost: a/b\r\n\r\n",
        CHUNKED.replace(b"chunked", b"gzip, chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"3\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_a_head_that_two_readers_may_read_differently_is_refused(server: Edge, head: bytes) -> None:
    assert error_of(server.ask(head), 400)["code"] == "invalid_http"
    assert server.app.seen == []
