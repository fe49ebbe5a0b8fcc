"""A request's body, bounded."""

from collections.abc import Iterator
from contextlib import contextmanager

from litestar.types import Receive

from gateway.errors import BodiesFullError, BodyTooLargeError, InvalidRequestError

DISCARD_BYTES_MAX = 64 * 1024 * 1024
"""How much of a body that is too large is read all the same: a client that still sends would not see the answer."""

ROOM_BYTES_MAX = 256 * 1024 * 1024
"""Of bodies that are being read. Those that are whole are counted where they wait."""
ROOM_BODIES_MIN = 4
"""So many of the largest have room in any case."""
HELD_BYTES_MIN = 64 * 1024
"""What a body counts for at least: the server reads so much ahead."""
RETRY_S = 1.0


class BodyRoom:
    """The bodies that are being read, in bytes by tenant.

    A tenant may have as much as it leaves to others: half of the room alone, a third beside another one that wants as
    much. So there is always some left for the next tenant, and none has a part that lies idle.
    """

    def __init__(self, *, body_bytes_max: int) -> None:
        self.resize(body_bytes_max=body_bytes_max)
        self._tenants: dict[str, int] = {}
        self.held_bytes = 0

    def resize(self, *, body_bytes_max: int) -> None:
        """Bodies may be so large from now on."""
        self._bytes_max = max(ROOM_BYTES_MAX, ROOM_BODIES_MIN * body_bytes_max)

    @contextmanager
    def place(self, tenant: str) -> Iterator["Place"]:
        """Room for one body; given back at the end of the block."""
        place = Place(self, tenant)
        try:
            place.grow(0)
            yield place
        finally:
            self._change(tenant, -place.held_bytes)

    def take(self, tenant: str, size: int) -> None:
        """Take more of it.

        Raises:
            BodiesFullError: The tenant has too much of it.
        """
        if self._tenants.get(tenant, 0) + size > self._bytes_max - self.held_bytes - size:
            raise BodiesFullError(retry_after_s=RETRY_S)
        self._change(tenant, size)

    def _change(self, tenant: str, size: int) -> None:
        self.held_bytes += size
        held = self._tenants.get(tenant, 0) + size
        if held:
            self._tenants[tenant] = held
        else:
            self._tenants.pop(tenant, None)


class Place:
    """The room of one body."""

    def __init__(self, room: BodyRoom, tenant: str) -> None:
        self._room = room
        self._tenant = tenant
        self.held_bytes = 0

    def grow(self, body_bytes: int) -> None:
        """Make it large enough for so many bytes.

        Raises:
            BodiesFullError: There is no room for them.
        """
        size = max(body_bytes, HELD_BYTES_MIN) - self.held_bytes
        if size > 0:
            self._room.take(self._tenant, size)
            self.held_bytes += size


async def read_body(receive: Receive, place: Place, *, bytes_max: int) -> bytes | bytearray:
    """Read the whole body. A large one is collected where it will stay: joined from its pieces it would be there twice.

    Raises:
        BodyTooLargeError: It is larger than `bytes_max`.
        BodiesFullError: There is no room for it.
        InvalidRequestError: The client stopped sending.
    """
    body: bytes | bytearray = b""
    read_bytes = 0
    is_more = True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidRequestError("The body ended early.", code=None)
        piece: bytes = message["body"]
        read_bytes += len(piece)
        if read_bytes <= bytes_max:
            place.grow(read_bytes)
            if not body:
                body = piece
            elif isinstance(body, bytearray):
                body += piece
            else:
                body = bytearray(body) + piece
        elif read_bytes > DISCARD_BYTES_MAX:
            break
        is_more = message["more_body"]
    if read_bytes > bytes_max:
        raise BodyTooLargeError(bytes_max)
    return body
