"""Content codings (RFC 9110, 8.4.1), undone piece by piece with bounded memory.

gzip is RFC 1952, deflate is RFC 1950 or, as some software sends it, RFC 1951 without a wrapper, zstd is RFC 8878. zstd
needs Python 3.14 or the package `backports.zstd`; other packages cannot bound what one call returns.
"""

import importlib
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple, Protocol

CHUNK_BYTES = 64 * 1024
"""The most that is decompressed at once."""
MEMBERS_MAX = 1000
"""Members of gzip, or frames of zstd, that one body may consist of: each costs some 10 µs, even if it is empty."""
ZSTD_WINDOW_LOG_MAX = 23
"""A window of 8 MiB: more is not interoperable (RFC 9659, 3), and is memory that the sender chooses."""

UNREADABLE = "unreadable content-encoding"
"""How the reason begins for which an answer could not be read."""
_ALIASES = {"x-gzip": "gzip"}
"""RFC 9110, 8.4.1.3."""


class UnknownCodingError(ValueError):
    """A Content-Encoding that cannot be undone here: an unknown coding, or several on top of each other."""

    def __init__(self, encoding: str) -> None:
        super().__init__(encoding)
        self.encoding = encoding


class DamagedContentError(ValueError):
    """A body that is not what its Content-Encoding says; the text says in what way."""


class _Stream(Protocol):
    """One member or frame: a decompressor of zlib or zstd."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Coding(NamedTuple):
    """How a coding is undone."""

    name: str
    begin: Callable[[bytes], _Stream]
    """Takes the first bytes of the stream."""
    error: type[Exception]
    first_bytes: int = 1
    """How many bytes `begin` needs to see."""
    has_members: bool = True
    """Whether the body may be several streams, one after another."""


class Decompressor:
    """Undoes the coding of one body."""

    def __init__(self, coding: _Coding, *, members_max: int | None) -> None:
        self._coding = coding
        self._members_max = members_max
        self._members = 0
        self._stream: _Stream | None = None
        self._held = b""
        """Too little to begin with."""

    @property
    def name(self) -> str:
        """The coding's name, as in a Content-Encoding header."""
        return self._coding.name

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Decompress the next piece of the body, in chunks of at most CHUNK_BYTES.

        The chunks are made as they are asked for. All of them have to be taken before the next piece is given.

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
                raise DamagedContentError(f"is not valid {self.name}") from None
            if stream.eof:
                rest, is_more, self._stream = stream.unused_data, False, None
            else:
                # zstd keeps the input that it did not use; zlib gives it back, but may hold output that had no room.
                rest, is_more = getattr(stream, "unconsumed_tail", b""), len(chunk) == CHUNK_BYTES
            if chunk:
                yield chunk

    def end(self) -> None:
        """Check that the body is whole, after its last piece. An empty body is.

        Raises:
            DamagedContentError: It ends early.
        """
        if self._stream is not None or self._held:
            raise DamagedContentError(f"is {self.name} that ends early")

    def _check_members(self) -> None:
        """Check that another member may follow."""
        if self._members and not self._coding.has_members:
            raise DamagedContentError(f"has other bytes after its {self.name}")
        if self._members == self._members_max:
            raise DamagedContentError(f"has more than {self._members_max} members of {self.name}")


def decompressor_for(encoding: str, *, members_max: int | None = MEMBERS_MAX) -> Decompressor | None:
    """Return what undoes a Content-Encoding, given as in the header; None where nothing has to be undone.

    Raises:
        UnknownCodingError: It cannot be undone here.
    """
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if not names:
        return None
    coding = _codings().get(_ALIASES.get(names[0], names[0])) if len(names) == 1 else None
    if coding is None:
        raise UnknownCodingError(", ".join(names))
    return Decompressor(coding, members_max=members_max)


def known_codings() -> list[str]:
    """Return the names of the codings that can be undone here."""
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
    """Tell zlib's header (RFC 1950, 2.2) from raw deflate."""
    has_header = first[0] & 0x0F == zlib.DEFLATED and int.from_bytes(first[:2], "big") % 31 == 0
    return zlib.decompressobj(wbits=zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _zstd() -> Any:
    """Return the standard library's zstd, or its backport; None where there is neither."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
