"""Tell the server whether the application accepted the key of a request.

A process that runs out of connections closes those without an accepted key first. Only the application knows which.
"""

from typing import Any

from litestar.types import Scope

_KEY = "fairpod.acceptance"


class Acceptance:
    """Hold what is known of the sender of a request: a tenant, a guest, or nobody that was accepted yet."""

    __slots__ = ("is_guest", "is_tenant")

    def __init__(self) -> None:
        self.is_tenant = False
        """True once a key of the file was accepted."""
        self.is_guest = False
        """True once another key was accepted, because the file lets guests in."""


def attach_acceptance(scope: Any, acceptance: Acceptance) -> None:
    """Put an acceptance into the scope, where the handlers of this request find it."""
    scope[_KEY] = acceptance


def accept(scope: Scope, *, is_guest: bool) -> None:
    """Note that the key of this request was accepted; without a server that asks, nobody is told."""
    acceptance: Acceptance | None = scope.get(_KEY)  # type: ignore[assignment]
    if acceptance is not None:
        acceptance.is_guest, acceptance.is_tenant = is_guest, not is_guest
