"""Share memory among tenants, and count the bytes that each of them holds. Pure.

A tenant may hold as much as it leaves free: alone half of the room, beside another tenant with the same demand a third.
So some memory is always left for the next tenant, and no part is reserved and unused.
"""


class MemoryShares:
    """Count the bytes of one kind of data in this process, by tenant."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0
        self._tenants: dict[str, int] = {}

    def resize(self, bytes_max: int) -> None:
        """Set the size of the room; data held beyond it stays."""
        self.bytes_max = bytes_max

    def has_room(self, tenant: str, size: int) -> bool:
        """Return True if the tenant may hold `size` more bytes."""
        return self._tenants.get(tenant, 0) + size <= self.bytes_max - self.held_bytes - size

    def add(self, tenant: str, size: int) -> None:
        """Record that the tenant holds `size` more bytes; a negative size releases bytes."""
        self.held_bytes += size
        held = self._tenants.get(tenant, 0) + size
        if held:
            self._tenants[tenant] = held
        else:
            self._tenants.pop(tenant, None)


class MemoryReservation:
    """Represent one holder's part of a room. The owner has to call `leave`."""

    __slots__ = ("_room", "_tenant", "held_bytes")

    def __init__(self, room: MemoryShares, tenant: str) -> None:
        self._room = room
        self._tenant = tenant
        self.held_bytes = 0

    def hold(self, size: int) -> bool:
        """Set the total bytes of this holder to `size`; return False, and change nothing, if there is no room.

        Shrinking always succeeds.
        """
        more = size - self.held_bytes
        if not more:
            return True
        if more > 0 and not self._room.has_room(self._tenant, more):
            return False
        self._room.add(self._tenant, more)
        self.held_bytes = size
        return True

    def leave(self) -> None:
        """Release all bytes. It may be called more than once."""
        if self.held_bytes:
            self._room.add(self._tenant, -self.held_bytes)
            self.held_bytes = 0
