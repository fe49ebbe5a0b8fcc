"""Whether the key of a request was accepted, as the application tells the server.

Where a process runs out of connections, the server closes those of strangers first; only the application knows them.
"""

from typing import Any

from litestar.types import Scope

_KEY = "fairpod.acceptance"


class Acceptance:
    """Whose request it is, as far as is known."""

    __slots__ = ("is_guest", "is_tenant")

    def __init__(self) -> None:
        self.is_tenant = False
        """Whether it came with a key of the file."""
        self.is_guest = False
        """Whether it came with another one, where the file lets guests in."""


def attach_acceptance(scope: Any, acceptance: Acceptance) -> None:
    """Lay it where the handlers of this request find it."""
    scope[_KEY] = acceptance


def accept(scope: Scope, *, is_guest: bool) -> None:
    """Note that the key of this request was accepted; without a server that asks, nobody is told."""
    acceptance: Acceptance | None = scope.get(_KEY)  # type: ignore[assignment]
    if acceptance is not None:
        acceptance.is_guest, acceptance.is_tenant = is_guest, not is_guest
