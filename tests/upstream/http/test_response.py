import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.http.response import HEAD_BYTES_MAX, ResponseReader

NAMES = st.sampled_from([b"x-a", b"Date", b"SERVER", b"x-empty"])
VALUES = st.sampled_from([b"", b"1", b"a, b", b"\xc3\xa9"])


def fed(*slices: bytes, is_reply_to_head: bool = False) -> ResponseReader:
    reader = ResponseReader(is_reply_to_head=is_reply_to_head)
    for each in slices:
        reader.feed(each)
    return reader


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, bytes, bool]:
    """The bytes of a response, its body, and whether its end is the connection's."""
    interim = draw(st.integers(0, 2)) * b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n"
    headers = b"".join(b"%b: %b\r\n" % pair for pair in draw(st.lists(st.tuples(NAMES, VALUES), max_size=4)))
    head = interim + b"HTTP/1.1 200 OK\r\n" + headers
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    body = b"".join(parts)
    match draw(st.sampled_from(["length", "chunks", "close"])):
        case "length":
            return head + b"content-length: %d\r\n\r\n" % len(body) + body, body, False
        case "chunks":
            ends = itertools.cycle([b"", b";x=y"])
            chunks = b"".join(
                b"%x%b\r\n%b\r\n" % (len(part), end, part) for part, end in zip(parts, ends, strict=False)
            )
            return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\nx-t: 1\r\n\r\n", body, False
        case _:
            return head + b"\r\n" + body, body, True


@given(responses(), st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_any_slices_give_the_same_body(response: tuple[bytes, bytes, bool], cuts: list[int], takes: bool) -> None:
    whole, body, until_close = response
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    reader = ResponseReader(is_reply_to_head=False)
    read = b""
    for start, stop in itertools.pairwise(edges):
        if start < stop:
            assert not reader.is_complete
            reader.feed(whole[start:stop])
        if takes:
            read += reader.take()
    assert reader.is_complete is not until_close
    reader.end()
    assert read + reader.take() == body
    assert reader.is_complete
    assert reader.is_reusable is not until_close


@given(responses(), st.integers(0, 1000))
def test_a_part_is_never_complete(response: tuple[bytes, bytes, bool], cut: int) -> None:
    whole, _, until_close = response
    if not until_close and cut < len(whole):
        reader = fed(whole[:cut])
        reader.end()
        assert not reader.is_complete


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_noise_is_refused_or_read_and_nothing_else(noise: bytes, cuts: list[int]) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"):
        reader = ResponseReader(is_reply_to_head=False)
        edges = [0, *sorted(cuts), len(prefix + noise)]
        try:
            for start, stop in itertools.pairwise(edges):
                reader.feed((prefix + noise)[start:stop])
        except httpx.RemoteProtocolError:
            continue
        assert len(reader.take()) <= len(noise)


@pytest.mark.parametrize(
    "surplus", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_connection_with_surplus_bytes_is_done_for(surplus: bytes) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"
    assert fed(whole).is_reusable
    for reader in (fed(whole + surplus), fed(whole, surplus)):
        assert reader.take() == b"a"
        assert reader.status == 200
        assert reader.headers == [(b"content-length", b"1")]
        assert reader.is_complete
        assert not reader.is_reusable


def test_a_body_after_a_reply_to_head_is_surplus() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"
    assert fed(head, is_reply_to_head=True).is_reusable
    reader = fed(head + b"a", is_reply_to_head=True)
    assert not reader.is_reusable
    assert reader.take() == b""


def test_the_headers_of_an_interim_response_frame_nothing() -> None:
    reader = fed(b"HTTP/1.1 103 A\r\ncontent-length: 3\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello")
    assert not reader.is_complete
    reader.end()
    assert reader.is_complete
    assert reader.headers == []
    assert reader.take() == b"hello"


def test_it_is_untouched_until_the_first_byte() -> None:
    reader = fed()
    assert reader.is_untouched
    reader.feed(b"H")
    assert not reader.is_untouched


@pytest.mark.parametrize("slice_bytes", [100, 100_000])
@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 " + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000,
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + (b"1;" + b"x" * 1000 + b"\r\ny\r\n") * 300,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"a: b\r\n" * 50_000,
    ],
    ids=["reason", "value", "lines", "interim", "extension", "extensions", "trailers"],
)
def test_nothing_but_the_body_is_without_bound(endless: bytes, slice_bytes: int) -> None:
    reader = ResponseReader(is_reply_to_head=False)
    read_bytes = 0
    for start in range(0, len(endless), slice_bytes):
        try:
            reader.feed(endless[start : start + slice_bytes])
        except httpx.RemoteProtocolError:
            break
        read_bytes = start + slice_bytes
    assert read_bytes <= 2 * HEAD_BYTES_MAX
