"""What the server adds to an answer by itself depends on the version of the request (RFC 9112, 6.1)."""

import json
from collections.abc import Iterator

import pytest

from tests.edge import Edge, edge, read_all
from tests.waiting import eventually

pytestmark = pytest.mark.server

OLD = ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0"]


@pytest.fixture(scope="module")
def patient() -> Iterator[Edge]:
    with edge() as made:
        yield made


def ask(subject: Edge, line: str, *headers: str, body: bytes = b"") -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body, all until the server closes."""
    answer = subject.ask("\r\n".join([line, "host: x", *headers, "", ""]).encode() + body)
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(each.split(": ", 1) for each in lines), rest


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("keep", ["", "connection: keep-alive"])
def test_a_stream_ends_with_its_connection(patient: Edge, version: str, keep: str) -> None:
    status, headers, body = ask(patient, f"GET /stream {version}", *filter(None, [keep]))
    assert status == "HTTP/1.1 200 OK"
    assert body == b"\n{}"
    assert headers["connection"] == "close"
    assert not {"transfer-encoding", "content-length"} & set(headers)


def test_a_stream_to_http_1_1_is_chunked(patient: Edge) -> None:
    _, headers, body = ask(patient, "GET /stream HTTP/1.1", "connection: close")
    assert headers["transfer-encoding"] == "chunked"
    assert body == b"1\r\n\n\r\n2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize("version", [*OLD, "HTTP/1.1"])
def test_an_answer_with_a_length_keeps_it(patient: Edge, version: str) -> None:
    sent = ["content-length: 3", "connection: close"]
    _, headers, body = ask(patient, f"POST /length {version}", *sent, body=b"abc")
    assert (headers["content-length"], body) == ("1", b"3")
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize("version", [*OLD, "HTTP/1.1"])
@pytest.mark.parametrize("path", ["stream", "unread"])
def test_head_has_no_body_and_no_chunks(patient: Edge, version: str, path: str) -> None:
    _, headers, body = ask(patient, f"HEAD /{path} {version}", "connection: close")
    assert body == b""
    assert "transfer-encoding" not in headers


def test_a_large_stream_arrives_whole(patient: Edge) -> None:
    _, _, body = ask(patient, "GET /flood HTTP/1.0")
    assert len(body) == 64 * 1024 * 1024


def test_an_offer_to_upgrade_does_not_raise_the_version(patient: Edge) -> None:
    offer = ["connection: upgrade", "upgrade: h2c", "content-length: 3"]
    _, headers, body = ask(patient, "POST /stream HTTP/1.0", *offer, body=b"abc")
    assert body == b"\n{}"
    assert "transfer-encoding" not in headers


def test_no_interim_response_is_sent(patient: Edge) -> None:
    status, _, body = ask(patient, "POST /length HTTP/1.0", "expect: 100-continue", "content-length: 3", body=b"abc")
    assert (status, body) == ("HTTP/1.1 200 OK", b"3")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_refused_head_has_no_body(patient: Edge, version: str) -> None:
    status, headers, body = ask(patient, f"HEAD /unread {version}", "a: " + "x" * 40_000)
    assert status.startswith("HTTP/1.1 431 ")
    assert int(headers["content-length"]) > 0
    assert body == b""


def test_a_refused_get_after_a_head_has_its_body(patient: Edge) -> None:
    with patient.connect() as client:
        client.sendall(b"HEAD /unread HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(65536).endswith(b"\r\n\r\n")
        client.sendall(b"GET /unread HTTP/1.1\r\nhost: x\r\na: " + b"x" * 40_000 + b"\r\n\r\n")
        body = read_all(client).partition(b"\r\n\r\n")[2]
    assert json.loads(body)["error"]["code"] == "request_headers_too_large"


def test_half_an_answer_does_not_look_whole(patient: Edge) -> None:
    """A close is the end of such an answer, so that only a reset can tell that it was cut."""
    with patient.connect() as client:
        client.sendall(b"GET /half HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: client.recv(65536), b""))
    eventually(lambda: not patient.open)


def test_an_application_that_fails_is_answered(patient: Edge) -> None:
    status, headers, body = ask(patient, "GET /broken HTTP/1.0")
    assert status.startswith("HTTP/1.1 500 ")
    assert len(body) == int(headers["content-length"])


def test_a_client_that_leaves_half_an_answer_frees_its_connection(patient: Edge) -> None:
    patient.app.seen.clear()
    client = patient.connect()
    client.sendall(b"GET /endless HTTP/1.0\r\n\r\n")
    assert client.recv(65536)
    client.close()
    eventually(lambda: not patient.open)
    assert ask(patient, "GET /unread HTTP/1.0")[2] == b"early"
