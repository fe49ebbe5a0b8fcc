import pytest

from gateway.errors import AnswersFullError, UnreachableError
from gateway.upstream import reply
from gateway.upstream.reply import TOO_LARGE, Hold, Reply, ReplyReader, bounded

FAILURES = (400, 404, 429, 500, 599)
OTHERS = (200, 201, 302, 399)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of all replies: four bytes."""
    monkeypatch.setattr(reply, "REPLY_BYTES_MAX", 4)


def hold_all(_size: int) -> None:
    """Hold a reply of any size."""


def hold_four(size: int) -> None:
    """Limit a reply to four bytes, in the way of `hold_little`."""
    bounded(size, 4)


def reader_of(status: int, hold: Hold = hold_all) -> ReplyReader:
    reader = ReplyReader(hold)
    reader.head(status, 7)
    return reader


def check_too_large(error: UnreachableError) -> None:
    assert error.reason is TOO_LARGE
    assert error.was_sent
    assert not error.is_outage


@pytest.mark.parametrize("status", [*OTHERS, *FAILURES])
def test_a_reply_is_its_head_and_all_of_its_pieces(status: int) -> None:
    reader = reader_of(status)
    assert [reader.feed(piece) for piece in (b"ab", b"", b"c")] == [False] * 3
    assert reader.end() == Reply(status=status, body=b"abc", retry_after_s=7)


def test_a_reply_without_a_body_is_one() -> None:
    assert reader_of(200).end().body == b""


def test_the_size_so_far_is_held_with_each_piece() -> None:
    sizes: list[int] = []
    reader = reader_of(200, sizes.append)
    for piece in (b"ab", b"", b"c"):
        reader.feed(piece)
    assert sizes == [2, 2, 3]


@pytest.mark.parametrize("status", OTHERS)
@pytest.mark.usefixtures("small")
def test_a_reply_has_at_most_the_bytes_of_its_bound(status: int) -> None:
    sizes: list[int] = []
    reader = reader_of(status, sizes.append)
    assert not reader.feed(b"ab")
    assert not reader.feed(b"cd")
    with pytest.raises(UnreachableError) as caught:
        reader.feed(b"e")
    check_too_large(caught.value)
    assert sizes == [2, 4]


def test_a_hold_may_have_a_lower_bound() -> None:
    reader = reader_of(200, hold_four)
    assert not reader.feed(b"abcd")
    with pytest.raises(UnreachableError) as caught:
        reader.feed(b"e")
    check_too_large(caught.value)


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.usefixtures("small")
def test_of_a_failure_that_is_too_large_the_status_is_enough(status: int) -> None:
    reader = reader_of(status)
    assert [reader.feed(piece) for piece in (b"abcd", b"e")] == [False, True]
    assert reader.end() == Reply(status=status, body=b"", retry_after_s=7)


@pytest.mark.parametrize("status", FAILURES)
def test_of_a_failure_beyond_the_bound_of_its_hold_the_status_is_enough(status: int) -> None:
    reader = reader_of(status, hold_four)
    assert [reader.feed(piece) for piece in (b"abcd", b"e")] == [False, True]
    assert reader.end() == Reply(status=status, body=b"", retry_after_s=7)


@pytest.mark.parametrize("status", FAILURES)
def test_of_a_failure_that_broke_off_the_status_is_enough(status: int) -> None:
    reader = reader_of(status)
    reader.feed(b'{"half')
    reader.failed(UnreachableError("ReadError", was_sent=True))
    assert reader.end() == Reply(status=status, body=b"", retry_after_s=7)


@pytest.mark.parametrize("status", OTHERS)
def test_any_other_reply_that_broke_off_is_none(status: int) -> None:
    reader, error = reader_of(status), UnreachableError("ReadError", was_sent=True)
    reader.feed(b'{"half')
    with pytest.raises(UnreachableError) as caught:
        reader.failed(error)
    assert caught.value is error


def test_a_call_that_broke_off_before_its_head_has_no_reply() -> None:
    error = UnreachableError("ConnectError", was_sent=False)
    with pytest.raises(UnreachableError) as caught:
        ReplyReader(hold_all).failed(error)
    assert caught.value is error


@pytest.mark.parametrize("status", FAILURES)
def test_of_a_failure_for_which_there_is_no_memory_the_status_is_enough(status: int) -> None:
    def hold_none(_size: int) -> None:
        raise AnswersFullError(retry_after_s=1)

    reader = reader_of(status, hold_none)
    assert reader.feed(b"a")
    assert reader.end() == Reply(status=status, body=b"", retry_after_s=7)


@pytest.mark.parametrize("status", OTHERS)
def test_an_error_of_the_hold_itself_passes(status: int) -> None:
    error = AnswersFullError(retry_after_s=1)

    def hold_none(_size: int) -> None:
        raise error

    with pytest.raises(AnswersFullError) as caught:
        reader_of(status, hold_none).feed(b"a")
    assert caught.value is error


def test_a_size_within_its_bound_is_returned() -> None:
    assert [bounded(size, 4) for size in (0, 4)] == [0, 4]
    with pytest.raises(UnreachableError) as caught:
        bounded(5, 4)
    check_too_large(caught.value)
