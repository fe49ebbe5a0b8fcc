"""Share memory among tenants, and count in bytes what each of them holds. Pure.

A tenant may have as much as it leaves to others: half of the room alone, a third beside another one that wants as
much. So there is always some left for the next tenant, and none has a part that lies idle.
"""


class Room:
    """Count the bytes of one kind of data in this process, by tenant."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0
        self._tenants: dict[str, int] = {}

    def resize(self, bytes_max: int) -> None:
        """Set the size of the room; what is held beyond it stays."""
        self.bytes_max = bytes_max

    def has_room(self, tenant: str, size: int) -> bool:
        """Tell whether the tenant may hold `size` more bytes."""
        return self._tenants.get(tenant, 0) + size <= self.bytes_max - self.held_bytes - size

    def add(self, tenant: str, size: int) -> None:
        """Note that the tenant holds so many bytes more, or, with a negative size, less."""
        self.held_bytes += size
        held = self._tenants.get(tenant, 0) + size
        if held:
            self._tenants[tenant] = held
        else:
            self._tenants.pop(tenant, None)


class Place:
    """Hold one holder's part of a room. Its owner has to leave it."""

    __slots__ = ("_room", "_tenant", "held_bytes")

    def __init__(self, room: Room, tenant: str) -> None:
        self._room = room
        self._tenant = tenant
        self.held_bytes = 0

    def hold(self, size: int) -> bool:
        """Hold so many bytes in all, more than before or less; return False, and change nothing, if there is no room.

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
        """Hold nothing any more. May be called again."""
        if self.held_bytes:
            self._room.add(self._tenant, -self.held_bytes)
            self.held_bytes = 0
