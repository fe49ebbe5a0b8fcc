"""Decode HTTP content codings (RFC 9110, 8.4.1) incrementally and with bounded memory.

gzip is RFC 1952, deflate is RFC 1950 or, as some software sends it, RFC 1951 without a wrapper, zstd is RFC 8878. zstd
needs Python 3.14 or the package `backports.zstd`; other packages cannot bound the output of one call.
"""

import importlib
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple, Protocol

CHUNK_BYTES = 64 * 1024
"""Maximum number of bytes that one decompression call returns."""
MEMBERS_MAX = 1000
"""Maximum number of gzip members or zstd frames in one body: each costs about 10 µs, even if it is empty."""
ZSTD_WINDOW_LOG_MAX = 23
"""Base-2 logarithm of the largest zstd window, 8 MiB: a larger one is not interoperable (RFC 9659, 3), and the sender
chooses how much memory it takes."""

UNREADABLE = "unreadable content-encoding"
"""Prefix of the error reason for an answer whose content coding could not be decoded."""
_ALIASES = {"x-gzip": "gzip"}
"""Aliases of coding names (RFC 9110, 8.4.1.3)."""


class UnknownCodingError(ValueError):
    """Report a Content-Encoding that cannot be decoded: an unknown coding, or several codings applied in sequence."""

    def __init__(self, encoding: str) -> None:
        super().__init__(encoding)
        self.encoding = encoding


class DamagedContentError(ValueError):
    """Report a body that does not match its Content-Encoding; the message names the defect."""


class _Stream(Protocol):
    """Represent one gzip member, deflate stream or zstd frame: a decompressor object of zlib or zstd."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Coding(NamedTuple):
    """Describe how to decode one content coding."""

    name: str
    begin: Callable[[bytes], _Stream]
    """Factory of a decompressor; its argument is the first bytes of the stream."""
    error: type[Exception]
    first_bytes: int = 1
    """Number of bytes that `begin` needs."""
    has_members: bool = True
    """True if the body may be several concatenated streams."""


class Decompressor:
    """Decode the content coding of one body."""

    def __init__(self, coding: _Coding, *, members_max: int | None) -> None:
        self._coding = coding
        self._members_max = members_max
        self._members = 0
        self._stream: _Stream | None = None
        self._held = b""
        """Bytes that are too few to begin a stream."""

    @property
    def name(self) -> str:
        """Return the coding's name, as in a Content-Encoding header."""
        return self._coding.name

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Decompress the next piece of the body, in chunks of at most CHUNK_BYTES.

        The chunks are generated lazily. The caller has to consume all of them before it feeds the next piece.

        Raises:
            DamagedContentError: The body is not valid.
        """
        rest, self._held, is_more = self._held + piece, b"", False
        while rest or is_more:
            if self._stream is None:
                self._check_members()
                if len(rest) < self._coding.first_bytes:
                    self._held = rest
                    return
                self._members += 1
                self._stream = self._coding.begin(rest)
            stream = self._stream
            try:
                chunk = stream.decompress(rest, CHUNK_BYTES)
            except self._coding.error:
                raise DamagedContentError(f"is not valid {self.name} data") from None
            if stream.eof:
                rest, is_more, self._stream = stream.unused_data, False, None
            else:
                # zstd keeps unused input internally. zlib returns it, but may still buffer output beyond the limit.
                rest, is_more = getattr(stream, "unconsumed_tail", b""), len(chunk) == CHUNK_BYTES
            if chunk:
                yield chunk

    def end(self) -> None:
        """Check, after the last piece, that the body is complete. An empty body is complete.

        Raises:
            DamagedContentError: The body ends early.
        """
        if self._stream is not None or self._held:
            raise DamagedContentError(f"is truncated {self.name} data")

    def _check_members(self) -> None:
        """Check that another member may follow.

        Raises:
            DamagedContentError: The coding has no members, or there are too many.
        """
        if self._members and not self._coding.has_members:
            raise DamagedContentError(f"has trailing bytes after its {self.name} data")
        if self._members == self._members_max:
            raise DamagedContentError(f"has more than {self._members_max} {self.name} members")


def decompressor_for(encoding: str, *, members_max: int | None = MEMBERS_MAX) -> Decompressor | None:
    """Return the decompressor for the value of a Content-Encoding header, or None if the body is not encoded.

    `members_max` limits the gzip members or zstd frames of the body; None means no limit.

    Raises:
        UnknownCodingError: The coding is unknown, or there are several.
    """
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if not names:
        return None
    coding = _codings().get(_ALIASES.get(names[0], names[0])) if len(names) == 1 else None
    if coding is None:
        raise UnknownCodingError(", ".join(names))
    return Decompressor(coding, members_max=members_max)


def known_codings() -> list[str]:
    """Return the names of the codings that can be decoded."""
    return list(_codings())


@cache
def _codings() -> dict[str, _Coding]:
    codings = [
        _Coding("gzip", lambda _: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), zlib.error),
        _Coding("deflate", _begin_deflate, zlib.error, first_bytes=2, has_members=False),
    ]
    if (zstd := _zstd()) is not None:
        options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
        codings.append(_Coding("zstd", lambda _: zstd.ZstdDecompressor(options=options), zstd.ZstdError))
    return {coding.name: coding for coding in codings}


def _begin_deflate(first: bytes) -> _Stream:
    """Begin a zlib stream if the data has a zlib header (RFC 1950, 2.2), else a raw deflate stream."""
    has_header = first[0] & 0x0F == zlib.DEFLATED and int.from_bytes(first[:2], "big") % 31 == 0
    return zlib.decompressobj(wbits=zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _zstd() -> Any:
    """Return the standard library's zstd module or its backport, or None if neither is installed."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
