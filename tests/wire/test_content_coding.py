"""Bodies in every coding, cut in every way, damaged in every way, and made to explode."""

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import content_coding
from gateway.wire.content_coding import (
    CHUNK_BYTES,
    MEMBERS_MAX,
    DamagedContentError,
    Decompressor,
    UnknownCodingError,
    decompressor_for,
    known_codings,
)

zstd = content_coding._zstd()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "GZip": (" GZip ", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
    "identity too": ("identity, gzip", gzip.compress),
}
SEVERAL = ["gzip", "zstd"]
"""Codings whose bodies may have several members."""


def subject_of(encoding: str, *, members_max: int | None = MEMBERS_MAX) -> Decompressor:
    made = decompressor_for(encoding, members_max=members_max)
    assert made is not None
    return made


def unpacked(encoding: str, *pieces: bytes, members_max: int | None = MEMBERS_MAX) -> bytes:
    subject = subject_of(encoding, members_max=members_max)
    body = b"".join([chunk for piece in pieces for chunk in subject.feed(piece)])
    subject.end()
    return body


@pytest.mark.parametrize("encoding", ["", " ", "identity", "Identity , identity", ","])
def test_a_plain_body_needs_nothing(encoding: str) -> None:
    assert decompressor_for(encoding) is None


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("br", "br"),
        ("BR", "br"),
        ("compress", "compress"),
        ("x-deflate", "x-deflate"),
        ("gzip, gzip", "gzip, gzip"),
        ("deflate,gzip", "deflate, gzip"),
        ("gzip;q=1", "gzip;q=1"),
    ],
)
def test_other_codings_are_named(encoding: str, named: str) -> None:
    with pytest.raises(UnknownCodingError) as caught:
        decompressor_for(encoding)
    assert caught.value.encoding == named


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("body", [b"", b"x", b'{"model":"m"}' * 100, bytes(CHUNK_BYTES), bytes(3 * CHUNK_BYTES + 1)])
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000_000])
def test_a_body_comes_back_whole(packer: str, body: bytes, piece_bytes: int) -> None:
    encoding, pack = PACKERS[packer]
    packed = pack(body)
    pieces = [packed[at : at + piece_bytes] for at in range(0, len(packed), piece_bytes)]
    assert unpacked(encoding, *pieces) == body
    assert unpacked(encoding, *pieces, b"") == body


@given(body=st.binary(max_size=2000), cut=st.integers(0, 2100), packer=st.sampled_from(list(PACKERS)))
def test_wherever_it_is_cut_it_comes_back_whole_or_is_told_short(body: bytes, cut: int, packer: str) -> None:
    encoding, pack = PACKERS[packer]
    packed = pack(body)
    assert unpacked(encoding, packed[:cut], packed[cut:]) == body
    if 0 < cut < len(packed):
        with pytest.raises(DamagedContentError, match="is truncated"):
            unpacked(encoding, packed[:cut])


@pytest.mark.parametrize("packer", PACKERS)
def test_no_bytes_at_all_are_an_empty_body(packer: str) -> None:
    assert unpacked(PACKERS[packer][0]) == b""
    assert unpacked(PACKERS[packer][0], b"") == b""


@pytest.mark.parametrize("encoding", SEVERAL)
@pytest.mark.parametrize("piece_bytes", [1, 25, 1_000_000])
def test_members_follow_one_another(encoding: str, piece_bytes: int) -> None:
    pack = PACKERS[encoding][1]
    packed = pack(b"one ") + pack(b"") + pack(b"two")
    pieces = [packed[at : at + piece_bytes] for at in range(0, len(packed), piece_bytes)]
    assert unpacked(encoding, *pieces) == b"one two"


def test_a_skippable_frame_is_nothing() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert unpacked("zstd", skippable + zstd.compress(b"x") + skippable) == b"x"


@pytest.mark.parametrize("rest", [b"\0", b"garbage", zlib.compress(b"x")])
@pytest.mark.parametrize("packer", ["gzip", "deflate", "raw deflate", "zstd"])
@pytest.mark.parametrize("is_apart", [True, False])
def test_nothing_else_may_follow(packer: str, rest: bytes, is_apart: bool) -> None:
    encoding, pack = PACKERS[packer]
    with pytest.raises(
        DamagedContentError, match="trailing bytes" if encoding == "deflate" else "not valid|is truncated"
    ):
        unpacked(encoding, *([pack(b"x"), rest] if is_apart else [pack(b"x") + rest]))


@pytest.mark.parametrize(
    "body", [b'{"model":"m"}', b"\x1f\x8b", b"\x78\x9c\0", b"\x28\xb5\x2f\xfd", b"\xff" * 100, b"{"]
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_what_is_not_compressed_so_is_told(encoding: str, body: bytes) -> None:
    with pytest.raises(DamagedContentError, match=encoding):
        unpacked(encoding, body)


@pytest.mark.parametrize("at", [10, -8, -4])
def test_a_changed_byte_of_gzip_is_noticed(at: int) -> None:
    """Of the data, the checksum, or the length."""
    packed = bytearray(gzip.compress(b"hello there " * 10))
    packed[at] ^= 0xFF
    with pytest.raises(DamagedContentError):
        unpacked("gzip", bytes(packed))


@pytest.mark.parametrize("packer", ["gzip", "deflate", "raw deflate", "zstd"])
def test_a_bomb_is_unpacked_no_further_than_it_is_read(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    bomb = pack(bytes(64 * 1024 * 1024))
    assert len(bomb) < 100_000
    subject = subject_of(encoding)
    tracemalloc.start()
    try:
        chunks = subject.feed(bomb)
        sizes = [len(next(chunks)) for _ in range(10)]
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    assert max(sizes) <= CHUNK_BYTES


@pytest.mark.parametrize("encoding", SEVERAL)
def test_members_without_end_are_refused(encoding: str) -> None:
    packed = PACKERS[encoding][1](b"")
    assert unpacked(encoding, packed * MEMBERS_MAX) == b""
    with pytest.raises(DamagedContentError, match="members"):
        unpacked(encoding, packed * (MEMBERS_MAX + 1))
    assert unpacked(encoding, packed * (MEMBERS_MAX + 1), members_max=None) == b""


def test_the_window_is_bounded() -> None:
    wide = zstd.compress(bytes(1 << 25), options={zstd.CompressionParameter.window_log: 27})
    with pytest.raises(DamagedContentError):
        unpacked("zstd", wide)


@pytest.mark.parametrize(
    ("missing", "known"),
    [
        ([], ["gzip", "deflate", "zstd"]),
        (["backports.zstd"], ["gzip", "deflate"]),
    ],
)
def test_zstd_is_known_where_a_package_has_it(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], known: list[str]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    content_coding._codings.cache_clear()
    try:
        if sys.version_info < (3, 14):
            assert known_codings() == known
        assert known_codings()[:2] == ["gzip", "deflate"]
    finally:
        content_coding._codings.cache_clear()


def test_the_standard_library_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression", zstd)
    monkeypatch.setitem(sys.modules, "compression.zstd", zstd)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    content_coding._codings.cache_clear()
    try:
        assert unpacked("zstd", zstd.compress(b"x")) == b"x"
    finally:
        content_coding._codings.cache_clear()
