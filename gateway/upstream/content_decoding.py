"""Decode response bodies that are compressed although every request says `accept-encoding: identity`.

An endpoint, or a proxy in front of it, that compresses unasked is at fault, but its answers can be read.
"""

import re
from collections.abc import AsyncIterator, Iterator

import anyio.lowlevel

from gateway.errors import UnreachableError
from gateway.wire.content_coding import (
    UNREADABLE,
    DamagedContentError,
    Decompressor,
    UnknownCodingError,
    decompressor_for,
)

_NAMES = re.compile(r"[\w.,*+ -]{1,40}", re.ASCII)
"""Pattern of an encoding name from the endpoint's header that may be shown in an error."""


def decoded(pieces: AsyncIterator[bytes], encoding: str, *, status: int) -> AsyncIterator[bytes]:
    """Return the pieces of a body without its Content-Encoding, each of at most `CHUNK_BYTES`.

    A body that cannot be decoded raises UnreachableError when it is read, not before: for some answers the status is
    enough.
    """
    try:
        # The members of a response are not limited: its sender is trusted.
        decompressor = decompressor_for(encoding, members_max=None)
    except UnknownCodingError as error:
        named = error.encoding if _NAMES.fullmatch(error.encoding) else "with an invalid name"
        return _Unreadable(_unreadable(named, status))
    return pieces if decompressor is None else _DecodedPieces(pieces, decompressor, status)


def _unreadable(why: str, status: int) -> UnreachableError:
    return UnreachableError(f"{UNREADABLE}: {why}", was_sent=True, status=status)


class _Unreadable:
    """Represent a body in an unknown encoding."""

    def __init__(self, error: UnreachableError) -> None:
        self._error = error

    def __aiter__(self) -> "_Unreadable":
        return self

    async def __anext__(self) -> bytes:
        raise self._error


class _DecodedPieces:
    """Decompress a body.

    A class rather than a generator, which would have to be closed if it was only partly read.
    """

    def __init__(self, pieces: AsyncIterator[bytes], decompressor: Decompressor, status: int) -> None:
        self._pieces = pieces
        self._decompressor = decompressor
        self._status = status
        self._chunks: Iterator[bytes] = iter(())

    def __aiter__(self) -> "_DecodedPieces":
        return self

    async def __anext__(self) -> bytes:
        try:
            if (chunk := next(self._chunks, None)) is not None:
                # A piece may expand a thousandfold: let other tasks run in between.
                await anyio.lowlevel.checkpoint()
                return chunk
            async for piece in self._pieces:
                self._chunks = self._decompressor.feed(piece)
                if (chunk := next(self._chunks, None)) is not None:
                    return chunk
            self._decompressor.end()
        except DamagedContentError as error:
            raise _unreadable(f"the body {error}", self._status) from None
        raise StopAsyncIteration
