import pytest

from gateway.wire.request_head import head_problem, head_size, header_values

HOST = (b"host", b"gateway.example:8080")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"a.example",
        b"a_b.example:80",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[2001:db8::1]:443",
        b"x:",
        b"a%2Db",
        b" x ",
    ],
)
def test_every_host_of_a_uri_is_taken(value: bytes) -> None:
    assert head_problem("1.1", [(b"host", value), CHUNKED]) is None


@pytest.mark.parametrize("value", [b"a b", b"a/b", b"user@a", b"a:8:9", b"a:x", b"[::1", b"\xc3\xa4", b"a?b"])
def test_a_host_that_no_uri_has_is_refused(value: bytes) -> None:
    assert "Host header must be" in str(head_problem("1.1", [(b"host", value)]))


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0"])
def test_two_hosts_are_refused_even_if_they_agree(version: str) -> None:
    assert "more than one Host" in str(head_problem(version, [HOST, HOST]))


def test_only_http_1_1_needs_a_host() -> None:
    assert "no Host" in str(head_problem("1.1", []))
    assert head_problem("1.0", []) is None


@pytest.mark.parametrize("value", [b"gzip, chunked", b"gzip", b"identity", b"chunked, chunked", b"", b"xchunked"])
def test_a_coding_that_would_not_be_undone_is_refused(value: bytes) -> None:
    assert "chunked" in str(head_problem("1.1", [HOST, (b"transfer-encoding", value)]))


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b" chunked "])
def test_chunks_are_taken(value: bytes) -> None:
    assert head_problem("1.1", [HOST, (b"transfer-encoding", value)]) is None


def test_http_1_0_has_no_transfer_codings() -> None:
    assert "HTTP/1.1" in str(head_problem("1.0", [CHUNKED]))


def test_what_a_client_accepts_in_return_is_its_own_affair() -> None:
    assert head_problem("1.1", [HOST, (b"te", b"gzip, chunked")]) is None


def test_a_head_is_as_large_as_its_url_names_and_values() -> None:
    assert head_size(b"/a", [HOST, CHUNKED]) == len(b"/a" + b"".join([*HOST, *CHUNKED]))


def test_values_are_those_of_the_lines_with_one_of_the_names_in_order() -> None:
    lines = [(b"x", b"1"), (b"y", b"2"), (b"x", b"3"), (b"z", b"x")]
    assert header_values(lines, b"x", b"y") == [b"1", b"2", b"3"]
    assert header_values(lines, b"w") == []
