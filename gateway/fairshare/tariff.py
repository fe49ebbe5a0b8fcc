"""What a turn costs, and in which unit: the resource that the tenants of an endpoint share."""

import msgspec


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """Service is charged by the second, by the grant, and in any other way by whoever knows it."""

    per_second: float = 0.0
    """For each seat held."""
    per_grant: float = 0.0
    capacity_per_s: float
    """About how much of it all tenants together can have: what a debt is measured by, and nothing else."""
    first_guess: float = 0.0
    """What one grant comes to, its own price not counted, until some have been given back."""


HOLD_S_FIRST_GUESS = 5.0
TOKENS_FIRST_GUESS = 500.0
TOKENS_PER_SEAT_SECOND = 50.0
"""About what one request of an 8-billion model gets."""


def of_seats(seats: int) -> Tariff:
    """Seats are scarce, and pay by the second. GPU seconds too: they accrue like this, and are settled at the end."""
    return Tariff(per_second=1.0, capacity_per_s=seats, first_guess=HOLD_S_FIRST_GUESS)


def of_tokens(seats: int) -> Tariff:
    """Tokens are what is shared: charged as they flow, and settled by the worker's count."""
    return Tariff(capacity_per_s=seats * TOKENS_PER_SEAT_SECOND, first_guess=TOKENS_FIRST_GUESS)


def of_calls(per_s: float, *, seats: int) -> Tariff:
    """Calls: each pays for its part of the rate and for its seat, in seconds of the whole budget.

    Whichever of the two is scarce decides then: long calls are shared by seats, short ones by number.
    """
    return Tariff(per_second=1 / seats, per_grant=1 / per_s, capacity_per_s=1.0)
