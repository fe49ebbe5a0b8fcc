import httptools
import pytest

from gateway.wire.framing import FRAMING_PER_BODY_BYTE, Framing

BYTES_MAX = 1000


class Reading:
    """A request as the server parses it: fed in pieces, with its body taken off the count."""

    def __init__(self) -> None:
        self.framing = Framing(BYTES_MAX)
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bool:
        """Return whether it is too much."""
        self.framing.feed(len(data))
        self._parser.feed_data(data)
        return self.framing.is_exceeded

    def on_body(self, piece: bytes) -> None:
        self.framing.give_body(len(piece))

    def on_message_complete(self) -> None:
        self.framing.end()


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def bytes_taken(piece: bytes, times: int, *, before: bytes = HEAD) -> int:
    """How many bytes of a repeated piece are fed until it is too much."""
    subject = Reading()
    assert not subject.feed(before)
    for number in range(1, times + 1):
        if subject.feed(piece):
            return number * len(piece)
    return -1


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b"\r\n"),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        (HEAD + b"0\r\n", b"a: b\r\n"),
        (HEAD + b"3;", b"a=b;"),
        (HEAD + b"1\r\na\r\n3;", b"a=b;"),
        (HEAD + b"1\r\na\r\n", b"00000000"),
    ],
    ids=["empty lines", "head", "trailers", "extension", "a later extension", "zeros of a size"],
)
def test_every_kind_of_framing_is_bounded(before: bytes, piece: bytes) -> None:
    assert 0 < bytes_taken(piece, 1000, before=before) <= BYTES_MAX + len(piece)


def test_extensions_of_many_chunks_are_bounded_in_all() -> None:
    # Each is within the bound, and brings a byte of body.
    assert 0 < bytes_taken(b"1;" + b"e" * 500 + b"\r\nx\r\n", 1000) <= 2 * BYTES_MAX


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"0001\r\nx\r\n", b"2\r\nxx\r\n"])
def test_a_body_of_small_chunks_may_be_as_long_as_any(chunk: bytes) -> None:
    assert bytes_taken(chunk, 20_000) == -1
    assert bytes_taken(chunk * 100, 200) == -1


def test_the_next_message_begins_anew() -> None:
    subject = Reading()
    for _ in range(100):
        assert not subject.feed(HEAD)
        assert not subject.feed(b"5\r\nhello\r\n0\r\n\r\n")
        assert subject.framing.framing_bytes == 0


def test_a_body_without_chunks_earns_no_more_than_its_share() -> None:
    subject = Framing(BYTES_MAX)
    subject.feed(10)
    subject.give_body(10)
    subject.feed(BYTES_MAX)
    assert not subject.is_exceeded
    subject.give_body(1)
    subject.feed(FRAMING_PER_BODY_BYTE * 11 + 1)
    assert not subject.is_exceeded
    subject.feed(1)
    assert subject.is_exceeded


def test_the_body_of_a_next_message_does_not_count_below_nothing() -> None:
    subject = Framing(BYTES_MAX)
    subject.feed(100)
    subject.end()
    subject.give_body(50)
    assert subject.framing_bytes == 0
