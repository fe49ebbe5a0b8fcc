"""Which connections make room for others, and what is said where none does."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from gateway.body_rate import LINGER_S
from gateway.connection_limits import SWEEP_S, Refusal
from gateway.server.connection_state import Reading
from tests.edge import Edge, edge, error_of, read_all, read_one
from tests.waiting import eventually

pytestmark = pytest.mark.server

ROOM = 3
GET = b"GET /unread HTTP/1.1\r\nhost: x\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge(connections_max=ROOM, turned_away_max=2) as made:
        yield made


@pytest.fixture
def server(shared: Edge) -> Iterator[Edge]:
    """A server without connections."""
    shared.app.seen.clear()
    shared.app.may_read.clear()
    eventually(lambda: not shared.open)
    shared.refused.clear()
    yield shared
    shared.app.may_read.set()


@contextlib.contextmanager
def holding(server: Edge, *sent: bytes, answered: bool = False) -> Iterator[list[socket.socket]]:
    """As many clients as there is room for, each with what it sent."""
    with contextlib.ExitStack() as stack:
        clients = []
        for piece in sent:
            client = stack.enter_context(server.connect())
            client.sendall(piece)
            if answered:
                received = b""
                while not received.endswith((b"early", b"data: 1\n\n\r\n")):
                    received += client.recv(65536)
            clients.append(client)
        eventually(lambda: len(server.open) == len(sent))
        yield clients


def is_served(server: Edge) -> bool:
    with server.connect() as client:
        client.sendall(GET)
        return b" 200 OK" in read_one(client)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", False),
        (GET, True),
        (b"GET / HTTP/1.1\r\n", False),
        (b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc", False),
        (b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc", True),
        (b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n", True),
    ],
    ids=["silent", "idle", "half a head", "half a body", "refused with a body to come", "answered without a key"],
)
def test_strangers_make_room(server: Edge, sent: bytes, answered: bool) -> None:
    with holding(server, *[sent] * ROOM, answered=answered) as clients:
        for _ in range(3 * ROOM):
            assert is_served(server)
        with contextlib.suppress(ConnectionError):
            assert read_all(clients[0]) == b""
    assert {reason for reason, _ in server.refused} == {Refusal.EVICTED}


def test_the_longest_idle_goes_first_and_idle_before_incomplete(server: Edge) -> None:
    with holding(server, GET, GET, answered=True) as (old, new), server.connect() as incomplete:
        old.sendall(GET)
        assert read_one(old)
        incomplete.sendall(b"GET /unread HTTP/1.1\r\n")
        eventually(lambda: any(each._reading is Reading.HEAD for each in server.open))
        with server.connect() as other:
            assert read_all(new) == b""
            other.sendall(GET)
            assert read_one(other).endswith(b"early")
            incomplete.sendall(b"host: x\r\n\r\n")
            assert read_one(incomplete).endswith(b"early")


def test_requests_of_tenants_make_no_room(server: Edge) -> None:
    upload = b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nab"
    with holding(server, HELD, HELD, upload) as clients:
        eventually(lambda: sorted(server.app.seen) == ["/held", "/held", "/upload"])
        answer = server.ask(GET)
        assert error_of(answer, 503)["code"] == "server_is_overloaded"
        assert b"retry-after: 1\r\n" in answer
        head = answer.partition(b"\r\n\r\n")[0].decode()
        assert server.refused == [(Refusal.NO_ROOM, head.partition("x-request-id: ")[2].partition("\r\n")[0])]
        with server.connect() as probe:
            probe.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b" 200 OK" in probe.recv(65536)
        server.app.may_read.set()
        clients[2].sendall(b"c")
        for client, body in zip(clients, (b"0", b"0", b"3"), strict=True):
            assert read_one(client).endswith(b"\r\n\r\n" + body)
        assert is_served(server)


def test_who_was_turned_away_is_served_if_room_comes_before_its_request(server: Edge) -> None:
    with holding(server, *[HELD] * ROOM) as clients:
        eventually(lambda: server.app.seen == ["/held"] * ROOM)
        with server.connect() as late:
            eventually(lambda: len(server.open) == ROOM + 1)
            server.app.may_read.set()
            assert clients[0].recv(65536)
            late.sendall(GET)
            assert read_one(late).endswith(b"early")
            server.pass_time(LINGER_S + SWEEP_S)
            late.sendall(GET)
            assert read_one(late).endswith(b"early")


def test_only_so_many_are_told_that_there_is_no_room(server: Edge) -> None:
    with holding(server, *[HELD] * ROOM):
        eventually(lambda: server.app.seen == ["/held"] * ROOM)
        with server.connect() as first, server.connect() as second:
            eventually(lambda: len(server.open) == ROOM + 2)
            with server.connect() as third, contextlib.suppress(ConnectionError):
                assert third.recv(1) == b""
            assert server.refused == [(Refusal.NO_ROOM, "")]
            server.pass_time(LINGER_S + SWEEP_S)
            assert read_all(first) == read_all(second) == b""


def test_a_tenant_holds_a_connection_until_it_was_answered_or_has_left(server: Edge) -> None:
    with holding(server, HELD, HELD) as (stays, leaves):
        eventually(lambda: server.held_count == 2)
        leaves.close()
        eventually(lambda: server.held_count == 1)
        server.app.may_read.set()
        assert b" 200 OK" in read_one(stays)
        eventually(lambda: server.held_count == 0)
        # Kept alive, and held again.
        server.app.may_read.clear()
        stays.sendall(HELD)
        eventually(lambda: server.held_count == 1)
        server.app.may_read.set()
        assert b" 200 OK" in read_one(stays)
    eventually(lambda: server.held_count == 0)


def test_a_client_that_left_before_its_key_was_checked_holds_nothing(server: Edge) -> None:
    with server.connect() as client:
        client.sendall(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: server.app.seen == ["/late"])
    eventually(lambda: server.app.seen == ["/late", "gone"])
    assert server.held_count == 0
