"""What a stranger may take of the server before and after the application has its say."""

import logging
import socket
import time
from collections.abc import Iterator

import pytest

from tests.edge import FLOOD_BYTES, Edge, edge, error_of, read_all, wait_until

GET = b"GET /unread HTTP/1.1\r\nhost: x\r\n"
POST = b"POST /length HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def patient() -> Iterator[Edge]:
    """A server that waits longer than any test."""
    with edge() as made:
        yield made


@pytest.fixture(scope="module")
def hasty() -> Iterator[Edge]:
    """One that waits for nobody longer than the sweep does."""
    with edge(head_s=0.1, read_s=0.1, write_s=0.1) as made:
        yield made


def test_requests_are_answered_one_after_another(patient: Edge) -> None:
    with patient.connect() as client:
        for size in (0, 5, 300_000):
            client.sendall(POST + b"content-length: %d\r\n\r\n" % size + b"x" * size)
            assert client.recv(65536).endswith(b"\r\n\r\n" + str(size).encode())
        client.sendall(POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert client.recv(65536).endswith(b"\r\n\r\n5")


def test_a_head_may_be_as_long_as_it_may(patient: Edge) -> None:
    for size, status in ((31_000, 200), (33_000, 431)):
        with patient.connect() as client:
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
def test_a_head_that_is_too_large_is_refused(patient: Edge, head: bytes) -> None:
    error = error_of(patient.ask(head), 431)
    assert error["code"] == "request_headers_too_large"


def test_a_head_that_trickles_in_is_bounded_too(patient: Edge) -> None:
    with patient.connect() as client:
        client.sendall(GET)
        for _ in range(40):
            client.sendall(b"a: " + b"x" * 1000 + b"\r\n")
            time.sleep(0.002)
        error_of(read_all(client), 431)


def test_the_head_behind_a_body_is_bounded_too(patient: Edge) -> None:
    with patient.connect() as client:
        client.sendall(POST + b"content-length: 3\r\n\r\nab")
        wait_until(lambda: patient.app.seen[-1] == "/length")
        client.sendall(b"c")
        assert client.recv(65536).endswith(b"3")
        client.sendall(b"GET /" + b"x" * 100_000)
        error_of(read_all(client), 431)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /unread HTTP/1.1\r\nno colon\r\n\r\n",
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
def test_what_is_no_http_is_told_in_the_clients_own_form(patient: Edge, sent: bytes) -> None:
    error = error_of(patient.ask(sent), 400)
    assert error["code"] == "invalid_http"


def test_a_stranger_writes_nothing_into_the_log(patient: Edge, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("uvicorn.error")
    log.addHandler(caplog.handler)
    try:
        patient.ask(b"nonsense\r\n\r\n")
        patient.ask(GET + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n")
        patient.ask(b"GET /cut HTTP/1.1\r\n\r\n")
    finally:
        log.removeHandler(caplog.handler)
    assert caplog.records == []


def test_another_protocol_is_answered_in_this_one(patient: Edge) -> None:
    sent = b"connection: upgrade\r\nupgrade: websocket\r\n"
    with patient.connect() as client:
        client.sendall(GET + sent + b"\r\n")
        assert client.recv(65536).endswith(b"early")
        client.sendall(POST + sent + b"content-length: 300000\r\n\r\n" + b"x" * 300_000)
        assert client.recv(65536).endswith(b"\r\n\r\n300000")
        client.sendall(GET + b"\r\n")
        assert client.recv(65536).endswith(b"early")


def test_a_request_that_does_not_wait_for_its_turn_is_not_taken(patient: Edge) -> None:
    patient.app.seen.clear()
    # No more than is read at once: what the kernel still holds when a connection is closed can cost the answer.
    answer = patient.ask((GET + b"\r\n") * 1000)
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert patient.app.seen == ["/unread"]


def test_what_follows_a_request_does_not_spoil_its_answer(patient: Edge) -> None:
    with patient.connect() as client:
        client.sendall(b"GET /flood HTTP/1.1\r\n\r\n" + b"\x00" * 100)
        answer = read_all(client)
    assert answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_broken_body_ends_the_request(patient: Edge) -> None:
    patient.app.seen.clear()
    with patient.connect() as client:
        client.sendall(POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wait_until(lambda: patient.app.seen == ["/length"])
        client.sendall(b"nonsense\r\n")
        error_of(read_all(client), 400)
    wait_until(lambda: patient.app.seen == ["/length", "gone"])


def test_a_slow_head_is_told(hasty: Edge) -> None:
    error = error_of(hasty.ask(b"GET / HTTP/1.1\r\n"), 408)
    assert error["code"] == "request_timeout"


def test_a_head_that_keeps_coming_slowly_is_cut_all_the_same(hasty: Edge) -> None:
    with hasty.connect() as client:
        client.sendall(GET)
        started = time.monotonic()
        client.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - started < 10:
            client.sendall(b"a: b\r\n")
            try:
                answer = client.recv(65536)
            except TimeoutError:
                continue
        error_of(answer, 408)


def test_who_says_nothing_is_closed_on_without_a_word(hasty: Edge) -> None:
    with hasty.connect() as client:
        assert read_all(client) == b""


def test_a_second_head_is_timed_as_the_first(hasty: Edge) -> None:
    with hasty.connect() as client:
        client.sendall(GET + b"\r\n")
        assert client.recv(65536).endswith(b"early")
        client.sendall(b"GET")
        error_of(read_all(client), 408)


def test_an_idle_connection_is_kept(hasty: Edge) -> None:
    with hasty.connect() as client:
        for _ in range(2):
            client.sendall(GET + b"\r\n")
            assert client.recv(65536).endswith(b"early")
            time.sleep(2.2)


def test_bytes_that_are_no_request_do_not_keep_it_for_ever(hasty: Edge) -> None:
    with hasty.connect() as client:
        client.sendall(GET + b"\r\n")
        assert client.recv(65536).endswith(b"early")
        client.sendall(b"\r\n")
        assert read_all(client) == b""


@pytest.mark.parametrize("part", [b"", b"ab"])
def test_a_body_that_stops_coming_is_told(hasty: Edge, part: bytes) -> None:
    hasty.app.seen.clear()
    error = error_of(hasty.ask(POST + b"content-length: 3\r\n\r\n" + part), 408)
    assert error["code"] == "request_timeout"
    wait_until(lambda: hasty.app.seen == ["/length", "gone"])


def test_a_body_that_keeps_coming_is_waited_for() -> None:
    with edge(read_s=2.5) as subject, subject.connect() as client:
        client.sendall(POST + b"content-length: 4\r\n\r\n")
        for _ in range(4):
            time.sleep(1)
            client.sendall(b"x")
        assert client.recv(65536).endswith(b"\r\n\r\n4")


def test_a_body_that_was_answered_already_is_not_waited_for(hasty: Edge) -> None:
    with hasty.connect() as client:
        client.sendall(b"POST /unread HTTP/1.1\r\ncontent-length: 3\r\n\r\nab")
        answer = read_all(client)
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_is_not_blamed_while_nobody_asks_for_its_body(hasty: Edge) -> None:
    size = 4 * 1024 * 1024
    hasty.app.may_read.clear()
    with hasty.connect() as client:
        client.sendall(b"POST /later HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % size)
        time.sleep(2.5)
        hasty.app.may_read.set()
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"x" * size)
        assert client.recv(65536).endswith(str(size).encode())


def test_no_more_of_a_body_is_held_than_was_asked_for(patient: Edge) -> None:
    patient.app.may_read.clear()
    with patient.connect() as client:
        client.sendall(b"POST /later HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.sendall(b"x" * 100_000_000)
        (connection,) = patient.open
        assert connection.flow.read_paused
        assert 64 * 1024 < len(connection.cycle.body) <= 512 * 1024
    patient.app.may_read.set()
    wait_until(lambda: not patient.open)


def test_what_is_left_of_a_body_is_not_kept_after_the_answer(patient: Edge) -> None:
    with patient.connect() as client:
        client.sendall(b"POST /unread HTTP/1.1\r\ncontent-length: 300000\r\n\r\n" + b"x" * 300_000)
        assert client.recv(65536).endswith(b"early")
        (connection,) = patient.open
        assert not connection.cycle.body
        wait_until(lambda: not connection._is_in_message)
        client.sendall(GET + b"\r\n")
        assert client.recv(65536).endswith(b"early")


def test_a_stream_waits_for_its_reader(patient: Edge) -> None:
    patient.app.seen.clear()
    patient.app.sent_bytes = 0
    with patient.connect(receive_buffer=64 * 1024) as client:
        client.sendall(b"GET /flood HTTP/1.1\r\n\r\n")
        largest, last = 0, -1
        while patient.app.sent_bytes != last:
            last = patient.app.sent_bytes
            time.sleep(0.3)
            largest = max(largest, *(each.transport.get_write_buffer_size() for each in patient.open))
        assert 0 < largest <= 128 * 1024
        assert last < FLOOD_BYTES / 4
        assert len(read_all_of(client, FLOOD_BYTES)) >= FLOOD_BYTES
    assert patient.app.seen == ["/flood", "sent"]


def read_all_of(client: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = client.recv(1 << 20)
        assert piece
        received += piece
    return bytes(received)


@pytest.mark.parametrize("path", [b"/flood", b"/large"])
def test_who_does_not_read_is_cut(hasty: Edge, path: bytes) -> None:
    with hasty.connect(receive_buffer=4096) as client:
        client.sendall(b"GET " + path + b" HTTP/1.1\r\n\r\n")
        wait_until(lambda: hasty.open and hasty.open[0].transport.get_write_buffer_size())
        wait_until(lambda: not hasty.open, 5)


@pytest.mark.parametrize("headers", [b"", b"connection: close\r\n"])
def test_who_reads_slowly_is_not(headers: bytes) -> None:
    """For longer than who does not read at all would be waited for."""
    with edge(head_s=60, read_s=60, write_s=2) as subject, subject.connect(receive_buffer=64 * 1024) as client:
        client.sendall(b"GET /large HTTP/1.1\r\n" + headers + b"\r\n")
        received = 0
        while received < FLOOD_BYTES:
            time.sleep(0.05)
            received += len(read_all_of(client, min(1024 * 1024, FLOOD_BYTES - received)))


def test_half_an_answer_frees_its_connection_at_once(patient: Edge) -> None:
    with patient.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /cut HTTP/1.1\r\n\r\n")
        wait_until(lambda: patient.app.seen[-1] == "/cut")
        wait_until(lambda: not patient.open, 1)


def test_a_closed_connection_that_nobody_reads_from_is_freed(hasty: Edge) -> None:
    with hasty.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nconnection: close\r\n\r\n")
        wait_until(lambda: hasty.open and hasty.open[0].transport.is_closing())
        wait_until(lambda: not hasty.open)


def test_there_is_room_for_so_many() -> None:
    with edge(connections_max=2) as subject:
        first, second = subject.connect(), subject.connect()
        wait_until(lambda: len(subject.open) == 2)
        answer = subject.ask(GET + b"\r\n")
        assert error_of(answer, 503)["code"] == "server_is_overloaded"
        assert b"retry-after: 1\r\n" in answer
        with subject.connect() as silent:
            assert read_all(silent) == b""
        assert b" 200 OK" in subject.ask(b"GET /livez HTTP/1.1\r\n\r\n")
        for client in (first, second):
            client.sendall(GET + b"\r\n")
            assert client.recv(65536).endswith(b"early")
            client.close()
        wait_until(lambda: not subject.open)
        with subject.connect() as client:
            client.sendall(GET + b"\r\n")
            assert client.recv(65536).endswith(b"early")
