"""Declare where responses are stored: for their retrieval, and as the history of later ones."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one response as it is stored."""

    tenant: str
    id: str
    item_key: str
    """Part of the response's id that the ids of its items contain."""
    previous_id: str | None
    """Id of the response that it continues."""
    created_s: int
    """Unix time in seconds."""
    expires_s: int
    """Unix time in seconds from which it is not found any more."""
    body: bytes
    """JSON of the Response object."""
    input: bytes
    """JSON array of its own input items, each with an id; without those of the responses that it continues."""

    @property
    def size(self) -> int:
        """Return its size in bytes, without its ids."""
        return len(self.body) + len(self.input)


class StorageError(Exception):
    """Report that a database cannot be used now; the reason contains no data of clients."""

    def __init__(self, reason: str, *, is_full: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_full = is_full
        """True if it can be read, and its disk is full."""


class ResponseStore(Protocol):
    """Store responses. Each method raises StorageError if the store does not answer, and finds only one tenant's."""

    async def put(self, response: StoredResponse) -> None:
        """Store a response durably; one with the same tenant and id is replaced."""
        ...

    async def get(self, tenant: str, response_id: str, *, now_s: int) -> StoredResponse | None:
        """Return a response that has not expired; None if there is none."""
        ...

    async def chain(
        self, tenant: str, response_id: str, *, now_s: int, length_max: int, bytes_max: int
    ) -> list[StoredResponse]:
        """Return a response and those that it continues, the newest first.

        The list ends at the first response that continues none, at one whose predecessor is not found, at
        `length_max` responses, or with the response that makes it larger than `bytes_max`.
        """
        ...

    async def by_item_keys(self, tenant: str, keys: Sequence[str], *, now_s: int) -> list[StoredResponse]:
        """Return the responses with these item keys that have not expired, in any order."""
        ...

    async def delete(self, tenant: str, response_id: str, *, now_s: int) -> bool:
        """Delete a response; return False if it was not found."""
        ...

    async def sweep(self, *, now_s: int) -> int:
        """Delete some expired responses, of all tenants; return how many. Zero means that none is left."""
        ...

    async def aclose(self) -> None:
        """Close the store in order, so that nothing of deleted responses is left in its files."""
        ...
