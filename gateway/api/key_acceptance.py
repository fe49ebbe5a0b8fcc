"""Report to the HTTP server whether the application accepted the key of a request.

A process that runs out of connections closes those without an accepted key first, and only the application checks keys.
"""

from collections.abc import Callable
from typing import Any

from litestar.types import Scope

_KEY = "fairpod.acceptance"


class Acceptance:
    """Hold whether a request's key was accepted, and if so as a tenant's or as a guest's."""

    __slots__ = ("claim", "is_guest", "is_tenant")

    def __init__(self, claim: Callable[[str], None] = lambda _tenant: None) -> None:
        """Create it; `claim` counts the connection as held by a tenant, and may raise TenantLimitError."""
        self.claim = claim
        self.is_tenant = False
        """True once a key from the configuration was accepted."""
        self.is_guest = False
        """True once another key was accepted because the configuration admits guests."""


def attach_acceptance(scope: Any, acceptance: Acceptance) -> None:
    """Store an acceptance in the ASGI scope for the handlers of this request."""
    scope[_KEY] = acceptance


def accept(scope: Scope, tenant: str, *, is_guest: bool) -> None:
    """Record that the key of this request was accepted; do nothing if the server attached no `Acceptance`.

    Raises:
        TenantLimitError: The tenant holds so many connections that too few would be left for the others.
    """
    acceptance: Acceptance | None = scope.get(_KEY)  # type: ignore[assignment]
    if acceptance is not None:
        acceptance.claim(tenant)
        acceptance.is_guest, acceptance.is_tenant = is_guest, not is_guest
