"""Count the waiting tickets and held permits of an endpoint, by tenant and in total. Pure."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from gateway.fairshare.account import Account

T = TypeVar("T", bound=Hashable)


class Occupancy(Generic[T]):
    """Update the counts of the accounts together with their sums.

    A tenant is present while it has tickets or permits.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.held = 0
        self.waiting_bytes = 0
        self.present_weight = 0.0
        """Sum of the weights of the tenants that are present."""
        self._present: dict[Account[T], None] = {}

    def waiting_by_tenant(self) -> dict[str, int]:
        """Return the number of tickets of each tenant that has any."""
        return {each.tenant: each.waiting for each in self._present if each.waiting}

    def held_by_tenant(self) -> dict[str, int]:
        """Return the number of permits of each tenant that holds any."""
        return {each.tenant: each.held for each in self._present if each.held}

    def weights(self) -> dict[str, float]:
        """Return the weights of the tenants that are present."""
        return {each.tenant: each.weight for each in self._present}

    def wait(self, account: Account[T], size: int) -> None:
        """Count one more ticket, which holds `size` bytes of memory."""
        account.waiting += 1
        account.waiting_bytes += size
        self.waiting += 1
        self.waiting_bytes += size
        self._appear(account)

    def leave(self, account: Account[T], size: int) -> None:
        """Count one ticket less, which held `size` bytes of memory."""
        account.waiting -= 1
        account.waiting_bytes -= size
        self.waiting -= 1
        self.waiting_bytes -= size
        self._disappear(account)

    def hold(self, account: Account[T]) -> None:
        """Count one more permit."""
        account.held += 1
        self.held += 1
        self._appear(account)

    def release(self, account: Account[T]) -> None:
        """Count one permit less."""
        account.held -= 1
        self.held -= 1
        self._disappear(account)

    def reweigh(self, account: Account[T], weight: float) -> None:
        """Change the weight of an account."""
        if account in self._present:
            self.present_weight += weight - account.weight
        account.weight = weight

    def _appear(self, account: Account[T]) -> None:
        if account not in self._present:
            self._present[account] = None
            self.present_weight += account.weight

    def _disappear(self, account: Account[T]) -> None:
        if not account.is_present:
            self._present.pop(account, None)
            # Reset to zero when no tenant is present, so that rounding errors do not accumulate.
            self.present_weight = self.present_weight - account.weight if self._present else 0.0
