"""What a stranger may take of the server before and after the application has its say."""

import contextlib
import logging
import socket
from collections.abc import Iterator

import pytest

from gateway.body_rate import BODY_BYTES_PER_S_MIN, LINGER_S
from gateway.server.connection_state import Reading
from gateway.server.protocol import BoundedProtocol
from tests.edge import FLOOD_BYTES, Edge, edge, error_of, read_all, read_one
from tests.waiting import a_moment, eventually

pytestmark = pytest.mark.server

GET = b"GET /unread HTTP/1.1\r\nhost: x\r\n"
POST = b"POST /length HTTP/1.1\r\nhost: x\r\n"


LATE_S = 11.0
"""Longer than this server waits for anybody."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge() as made:
        yield made


@pytest.fixture
def server(shared: Edge) -> Edge:
    """A server without connections."""
    eventually(lambda: not shared.open)
    shared.app.seen.clear()
    shared.app.may_read.clear()
    return shared


def in_head(connection: BoundedProtocol) -> bool:
    return connection._reading is Reading.HEAD


def has_answered(connection: BoundedProtocol) -> bool:
    return connection.cycle is not None and connection.cycle.response_complete


def in_body(connection: BoundedProtocol) -> bool:
    return connection._reading is Reading.BODY


def test_requests_are_answered_one_after_another(server: Edge) -> None:
    with server.connect() as client:
        for size in (0, 5, 300_000):
            client.sendall(POST + b"content-length: %d\r\n\r\n" % size + b"x" * size)
            assert read_one(client).endswith(b"\r\n\r\n" + str(size).encode())
        client.sendall(POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert read_one(client).endswith(b"\r\n\r\n5")


def test_a_head_may_be_as_long_as_it_may(server: Edge) -> None:
    for size, status in ((31_000, 200), (33_000, 431)):
        with server.connect() as client:
            client.sendall(GET + b"a: " + b"x" * size + b"\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "head",
    [
        GET + b"a: " + b"x" * 33_000 + b"\r\n\r\n",
        GET + b"a: " + b"x" * 2_000_000,
        GET + b"a" * 2_000_000,
        b"GET /" + b"x" * 2_000_000,
        GET + b"a: b\r\n" * 128 + b"\r\n",
        GET + b"a: b\r\n" * 200_000,
    ],
    ids=["a header", "a value without end", "a name without end", "a URL", "lines", "lines without end"],
)
def test_a_head_that_is_too_large_is_refused(server: Edge, head: bytes) -> None:
    error = error_of(server.ask(head), 431)
    assert error["code"] == "request_headers_too_large"


def test_a_head_that_trickles_in_is_bounded_too(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(GET)
        for number in range(40):
            # It closes as soon as it has seen too much.
            with contextlib.suppress(ConnectionError):
                client.sendall(b"a: " + b"x" * 1000 + b"\r\n")
            if number < 30:
                server.until(lambda connection, seen=number * 1000: connection._framing.framing_bytes > seen)
        error_of(read_all(client), 431)


def test_the_head_behind_a_body_is_bounded_too(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(POST + b"content-length: 3\r\n\r\nab")
        eventually(lambda: server.app.seen == ["/length"])
        client.sendall(b"c")
        assert read_one(client).endswith(b"3")
        client.sendall(b"GET /" + b"x" * 100_000)
        error_of(read_all(client), 431)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /unread HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\na",
        POST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\na",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_in_the_clients_own_form(server: Edge, sent: bytes) -> None:
    error = error_of(server.ask(sent), 400)
    assert error["code"] == "invalid_http"


def test_a_stranger_writes_nothing_into_the_log(server: Edge, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("uvicorn.error")
    log.addHandler(caplog.handler)
    try:
        server.ask(b"nonsense\r\n\r\n")
        server.ask(GET + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n")
        server.ask(b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n")
    finally:
        log.removeHandler(caplog.handler)
    assert caplog.records == []


def test_another_protocol_is_answered_in_this_one(server: Edge) -> None:
    sent = b"connection: upgrade\r\nupgrade: websocket\r\n"
    with server.connect() as client:
        client.sendall(GET + sent + b"\r\n")
        assert read_one(client).endswith(b"early")
        client.sendall(POST + sent + b"content-length: 300000\r\n\r\n" + b"x" * 300_000)
        assert read_one(client).endswith(b"\r\n\r\n300000")
        client.sendall(GET + b"\r\n")
        assert read_one(client).endswith(b"early")


def test_a_request_that_does_not_wait_for_its_turn_is_not_taken(server: Edge) -> None:
    # No more than is read at once: what the kernel still holds when a connection is closed can cost the answer.
    answer = server.ask((GET + b"\r\n") * 1000)
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert server.app.seen == ["/unread"]


def test_what_follows_a_request_does_not_spoil_its_answer(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n" + b"\x00" * 100)
        answer = read_all(client)
    assert answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_broken_body_ends_the_request(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        eventually(lambda: server.app.seen == ["/length"])
        client.sendall(b"nonsense\r\n")
        error_of(read_all(client), 400)
    eventually(lambda: server.app.seen == ["/length", "gone"])


def test_a_slow_head_is_told(server: Edge) -> None:
    error = error_of(server.ask_slowly(b"GET / HTTP/1.1\r\nhost: x\r\n", in_head, LATE_S), 408)
    assert error["code"] == "request_timeout"


def test_a_head_that_keeps_coming_slowly_is_cut_all_the_same(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(GET)
        sent = len(GET)
        for _ in range(4):
            connection = server.until(lambda connection, seen=sent: connection._framing.framing_bytes >= seen)
            server.pass_time(LATE_S / 5)
            assert connection._reading is not Reading.DISCARD
            sent += client.send(b"a: b\r\n")
        server.pass_time(LATE_S / 5)
        error_of(read_all(client), 408)


def test_who_says_nothing_is_closed_on_without_a_word(server: Edge) -> None:
    assert server.ask_slowly(b"", lambda _: True, LATE_S) == b""


def test_a_second_head_is_timed_as_the_first(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(GET + b"\r\n")
        assert read_one(client).endswith(b"early")
        server.pass_time(LATE_S)
        client.sendall(b"GET")
        server.until(in_head)
        server.pass_time(LATE_S)
        error_of(read_all(client), 408)


def test_an_idle_connection_is_kept(server: Edge) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.sendall(GET + b"\r\n")
            assert read_one(client).endswith(b"early")
            server.pass_time(10 * LATE_S)


def test_bytes_that_are_no_request_do_not_keep_it_for_ever(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(GET + b"\r\n")
        assert read_one(client).endswith(b"early")
        server.until(lambda connection: connection.timeout_keep_alive_task)
        client.sendall(b"\r\n")
        server.until(lambda connection: connection.timeout_keep_alive_task is None)
        server.pass_time(1)
        assert read_all(client) == b""


@pytest.mark.parametrize("part", [b"", b"ab"])
def test_a_body_that_stops_coming_is_told(server: Edge, part: bytes) -> None:
    error = error_of(server.ask_slowly(POST + b"content-length: 3\r\n\r\n" + part, in_body, LATE_S), 408)
    assert error["code"] == "request_timeout"
    eventually(lambda: server.app.seen == ["/length", "gone"])


def test_a_body_that_keeps_coming_is_waited_for(server: Edge) -> None:
    """At its least rate; how long it takes in all does not count."""
    piece = b"x" * int((LATE_S - 2) * BODY_BYTES_PER_S_MIN)
    with server.connect() as client:
        client.sendall(POST + b"content-length: %d\r\n\r\n" % (4 * len(piece)))
        connection = server.until(in_body)
        for number in range(4):
            server.pass_time(LATE_S - 2)
            client.sendall(piece)
            if number < 3:
                eventually(lambda pieces=number + 1: connection._framing.body_bytes == pieces * len(piece))
        assert read_one(client).endswith(b"\r\n\r\n%d" % (4 * len(piece)))


def test_a_body_that_trickles_is_cut_all_the_same(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(POST + b"content-length: 100\r\n\r\n")
        connection = server.until(in_body)
        for number in range(4):
            server.pass_time(LATE_S / 5)
            assert connection._reading is not Reading.DISCARD
            client.sendall(b"x")
            eventually(lambda come=number + 1: connection._framing.body_bytes == come)
        server.pass_time(LATE_S / 5)
        assert error_of(read_all(client), 408)["code"] == "request_timeout"
    eventually(lambda: server.app.seen == ["/length", "gone"])


def test_the_rest_of_a_refused_body_does_not_hold_the_connection(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert read_one(client).endswith(b"early")
        connection = server.until(has_answered)
        for number in range(3):
            client.sendall(b"x" * 10)
            eventually(lambda come=10 * (number + 1): connection._framing.body_bytes == come)
            server.pass_time(LINGER_S / 2)
        assert read_all(client) == b""
    eventually(lambda: not server.open)


def test_the_rest_of_a_refused_body_is_read_while_it_comes_well(server: Edge) -> None:
    size, seconds = 1_000_000, 6
    with server.connect() as client:
        client.sendall(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        assert read_one(client).endswith(b"early")
        connection = server.until(has_answered)
        for number in range(seconds):
            client.sendall(b"x" * (size // seconds))
            eventually(lambda come=(number + 1) * (size // seconds): connection._framing.body_bytes == come)
            server.pass_time(1.0)
        client.sendall(b"x" * (size % seconds) + GET + b"\r\n")
        assert read_one(client).endswith(b"early")


def test_a_body_that_was_answered_already_is_not_waited_for(server: Edge) -> None:
    asked = b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nab"
    answer = server.ask_slowly(asked, has_answered, LATE_S)
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_is_not_blamed_while_nobody_asks_for_its_body(server: Edge) -> None:
    size = 4 * 1024 * 1024
    with server.connect() as client:
        client.sendall(b"POST /later HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % size)
        server.until(in_body)
        server.pass_time(10 * LATE_S)
        server.app.may_read.set()
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"x" * size)
        assert read_one(client).endswith(str(size).encode())


def test_no_more_of_a_body_is_held_than_was_asked_for(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(b"POST /later HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.sendall(b"x" * 100_000_000)
        connection = server.until(lambda connection: connection.flow.read_paused)
        assert 64 * 1024 < len(connection.cycle.body) <= 512 * 1024
    server.app.may_read.set()
    eventually(lambda: not server.open)


def test_what_is_left_of_a_body_is_not_kept_after_the_answer(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n" + b"x" * 300_000)
        assert read_one(client).endswith(b"early")
        server.until(lambda connection: not connection._reading.is_in_message and not connection.cycle.body)
        client.sendall(GET + b"\r\n")
        assert read_one(client).endswith(b"early")


def test_a_stream_waits_for_its_reader(server: Edge) -> None:
    server.app.sent_bytes = 0
    with server.connect(receive_buffer=64 * 1024) as client:
        client.sendall(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
        connection = server.until(lambda connection: connection.flow.write_paused)
        sent_bytes = server.app.sent_bytes
        a_moment()
        assert 0 < connection.transport.get_write_buffer_size() <= 128 * 1024
        # The kernel may have taken a little more meanwhile.
        assert sent_bytes <= server.app.sent_bytes < FLOOD_BYTES / 4
        assert len(read_all_of(client, FLOOD_BYTES)) >= FLOOD_BYTES
    assert server.app.seen == ["/flood", "sent"]


def read_all_of(client: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = client.recv(1 << 20)
        assert piece
        received += piece
    return bytes(received)


@pytest.mark.parametrize("path", [b"/flood", b"/large"])
def test_who_does_not_read_is_cut(server: Edge, path: bytes) -> None:
    with server.connect(receive_buffer=4096) as client:
        client.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        server.until(lambda connection: connection._unread is not None)
        server.pass_time(LATE_S)
        eventually(lambda: not server.open)


@pytest.mark.parametrize("headers", [b"", b"connection: close\r\n"])
def test_who_reads_slowly_is_not(server: Edge, headers: bytes) -> None:
    """For longer than who does not read at all would be waited for."""
    with server.connect(receive_buffer=64 * 1024) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n" + headers + b"\r\n")
        connection = server.until(lambda connection: connection._unread is not None)
        received, piece, began_s = 0, 1024 * 1024, connection._all.now_s
        unsent = connection.transport.get_write_buffer_size()
        while received < FLOOD_BYTES:
            received += len(read_all_of(client, min(piece, FLOOD_BYTES - received)))
            # What is read comes from the kernel at first; the server notices when that has room again.
            if connection.transport.get_write_buffer_size() < unsent - piece:
                unsent = connection.transport.get_write_buffer_size()
                server.pass_time(LATE_S)
        assert connection._all.now_s - began_s >= 5 * LATE_S


def test_half_an_answer_frees_its_connection_at_once(server: Edge) -> None:
    with server.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: server.app.seen == ["/cut"])
        eventually(lambda: not server.open)


def test_a_closed_connection_that_nobody_reads_from_is_freed(server: Edge) -> None:
    with server.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        server.until(lambda connection: connection.transport.is_closing())
        # One sweep notices it, and a later one has had enough.
        server.pass_time(LATE_S)
        server.pass_time(LATE_S)
        eventually(lambda: not server.open)


def test_a_connection_answered_before_its_body_came_is_kept(server: Edge) -> None:
    head = b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n"
    with server.connect() as client:
        for rest in (b"abc", b"a", b"abc"):
            client.sendall(head)
            assert read_one(client).endswith(b"early")
            client.sendall(rest)
            if rest == b"a":
                server.until(lambda connection: connection._framing.body_bytes == 1)
                client.sendall(b"bc")
            server.until(lambda connection: has_answered(connection) and not in_body(connection))
            server.pass_time(LINGER_S)
            connection = server.until(has_answered)
            assert connection.timeout_keep_alive_task is not None
            assert not connection.transport.is_closing()
