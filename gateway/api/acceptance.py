"""Report to the HTTP server whether the application accepted the key of a request.

A process that runs out of connections closes those without an accepted key first, and only the application checks keys.
"""

from typing import Any

from litestar.types import Scope

_KEY = "fairpod.acceptance"


class Acceptance:
    """Hold whether a request's key was accepted, and if so as a tenant's or as a guest's."""

    __slots__ = ("is_guest", "is_tenant")

    def __init__(self) -> None:
        self.is_tenant = False
        """True once a key from the configuration was accepted."""
        self.is_guest = False
        """True once another key was accepted because the configuration admits guests."""


def attach_acceptance(scope: Any, acceptance: Acceptance) -> None:
    """Store an acceptance in the ASGI scope for the handlers of this request."""
    scope[_KEY] = acceptance


def accept(scope: Scope, *, is_guest: bool) -> None:
    """Record that the key of this request was accepted; do nothing if the server attached no `Acceptance`."""
    acceptance: Acceptance | None = scope.get(_KEY)  # type: ignore[assignment]
    if acceptance is not None:
        acceptance.is_guest, acceptance.is_tenant = is_guest, not is_guest
