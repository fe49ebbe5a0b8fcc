"""Response bodies that come compressed, although every request says `accept-encoding: identity`.

An endpoint, or a proxy before it, that compresses unasked is at fault; its answers can be read all the same.
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
"""What may be shown of a header that the endpoint wrote."""


def decoded(pieces: AsyncIterator[bytes], encoding: str, *, status: int) -> AsyncIterator[bytes]:
    """Return the pieces of a body without its Content-Encoding, each of at most `CHUNK_BYTES`.

    What cannot be read is an UnreachableError when it is read, and not before: of some answers the status is enough.
    """
    try:
        # The members of a response are not counted: its sender is no stranger.
        decompressor = decompressor_for(encoding, members_max=None)
    except UnknownCodingError as error:
        named = error.encoding if _NAMES.fullmatch(error.encoding) else "of an unknown name"
        return _Unreadable(_unreadable(named, status))
    return pieces if decompressor is None else _DecodedPieces(pieces, decompressor, status)


def _unreadable(why: str, status: int) -> UnreachableError:
    return UnreachableError(f"{UNREADABLE}: {why}", was_sent=True, status=status)


class _Unreadable:
    """A body in an unknown encoding."""

    def __init__(self, error: UnreachableError) -> None:
        self._error = error

    def __aiter__(self) -> "_Unreadable":
        return self

    async def __anext__(self) -> bytes:
        raise self._error


class _DecodedPieces:
    """A body that is decompressed. A class, where a generator would do: half read, that would have to be closed."""

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
                # A piece may expand a thousandfold: others have their turn in between.
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
