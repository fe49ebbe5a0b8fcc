"""Wait for a permit in a task, and hold it for an `async with`."""

from collections.abc import Callable
from typing import Protocol

import anyio

from gateway.admission.permit import Permit


class WaitingRoom(Protocol):
    """Represent the part of a gate that concerns a waiting permit; see `Gate`."""

    def wait_left_s(self, permit: Permit) -> float:
        """Return the seconds until the wait has to be concluded."""
        ...

    def conclude(self, permit: Permit) -> None:
        """End the wait; raise the refusal if the permit is not granted."""
        ...


class PermitContext:
    """Hold a permit for the duration of an `async with`.

    A class rather than `@asynccontextmanager`: this is on the hot path of every call.
    """

    __slots__ = ("_gate", "_permit", "_request")

    def __init__(self, gate: WaitingRoom, request: Callable[[], Permit]) -> None:
        self._gate = gate
        self._request = request
        self._permit: Permit | None = None

    async def __aenter__(self) -> Permit:
        permit = self._request()
        if permit.is_waiting:
            await self._wait(permit)
        self._permit = permit
        return permit

    async def __aexit__(self, *_error: object) -> None:
        if self._permit is not None:
            self._permit.release()

    async def _wait(self, permit: Permit) -> None:
        turn = anyio.Event()
        permit.subscribe(turn.set)
        try:
            while not turn.is_set() and (left_s := self._gate.wait_left_s(permit)) > 0:
                with anyio.move_on_after(left_s):
                    await turn.wait()
        except BaseException:
            # A permit that was granted as its task was cancelled is returned too.
            permit.release()
            raise
        self._gate.conclude(permit)
