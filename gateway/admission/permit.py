"""A ticket, and after its turn the permit."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from gateway.domain import Tenant
from gateway.errors import RefusedError


class Permit:
    """One wait for a turn, and what came of it. Only its gate changes it.

    Once granted it is held until the last of its users has released it: a job may outlive the request that began it.
    """

    __slots__ = (
        "_give_back",
        "_turn",
        "_users",
        "charged",
        "granted_at_s",
        "narrowed_s",
        "refusal",
        "returned_at_s",
        "since_s",
        "size",
        "tenant",
        "ticket_at_s",
    )

    def __init__(self, tenant: Tenant, *, size: int, now_s: float, give_back: "Callable[[Permit], None]") -> None:
        """`give_back` is called once, when the last user has released it."""
        self._give_back = give_back
        self._users = 1
        self.tenant = tenant
        self.size = size
        """What its waiting keeps in memory, in bytes."""
        self.ticket_at_s = now_s
        self.narrowed_s = 0.0
        """How long its gate had been narrowed in all when it came."""
        self.granted_at_s: float | None = None
        self.returned_at_s: float | None = None
        self.since_s = now_s
        """From when on its seat is charged for."""
        self.charged = 0.0
        """What was charged for it beside its seat."""
        self.refusal: RefusedError | None = None
        self._turn: anyio.Event | None = None

    @property
    def wait_s(self) -> float:
        """Seconds between ticket and permit."""
        return 0.0 if self.granted_at_s is None else self.granted_at_s - self.ticket_at_s

    @property
    def is_waiting(self) -> bool:
        """Neither granted nor refused."""
        return self.granted_at_s is None and self.refusal is None

    def grant(self, now_s: float) -> None:
        """Its turn has come."""
        self.granted_at_s = self.since_s = now_s
        if self._turn is not None:
            self._turn.set()

    def refuse(self, refusal: RefusedError) -> None:
        """It will have no turn."""
        self.refusal = refusal
        if self._turn is not None:
            self._turn.set()

    def keep(self) -> Callable[[], None]:
        """Add a user; return what ends its use, of which only the first call counts.

        After the last user's end there is nothing left to hold, and what is returned does nothing.
        """
        is_kept = self._users > 0
        self._users += is_kept

        def release() -> None:
            nonlocal is_kept
            if is_kept:
                is_kept = False
                self.release()

        return release

    def release(self) -> None:
        """End the use of one user."""
        self._users -= 1
        if not self._users:
            self._give_back(self)

    async def turn(self) -> None:
        """Wait until it is granted or refused."""
        self._turn = anyio.Event()
        await self._turn.wait()


class Turn:
    """The `async with` of a permit. A class, where a generator would do: every request and every call passes one."""

    __slots__ = ("_admitting", "_permit")

    def __init__(self, admitting: Coroutine[Any, Any, Permit]) -> None:
        self._admitting = admitting
        self._permit: Permit | None = None

    async def __aenter__(self) -> Permit:
        self._permit = permit = await self._admitting
        return permit

    async def __aexit__(self, *_error: object) -> None:
        if self._permit is not None:
            self._permit.release()
