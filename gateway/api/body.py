"""A request's body, bounded."""

from litestar.types import Receive

from gateway.errors import BodyTooLargeError, InvalidRequestError

DISCARD_BYTES_MAX = 64 * 1024 * 1024
"""How much of a body that is too large is read all the same: a client that still sends would not see the answer."""


async def read_body(receive: Receive, *, bytes_max: int) -> bytes:
    """Read the whole body.

    Raises:
        BodyTooLargeError: It is larger than `bytes_max`.
        InvalidRequestError: The client stopped sending.
    """
    pieces: list[bytes] = []
    read_bytes = 0
    is_more = True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidRequestError("The body ended early.", code=None)
        piece: bytes = message["body"]
        read_bytes += len(piece)
        if read_bytes <= bytes_max:
            pieces.append(piece)
        elif read_bytes > DISCARD_BYTES_MAX:
            break
        is_more = message["more_body"]
    if read_bytes > bytes_max:
        raise BodyTooLargeError(bytes_max)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
