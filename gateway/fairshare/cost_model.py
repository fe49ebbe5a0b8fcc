"""Define what a grant costs, in units of the resource that the tenants of an endpoint share."""

import msgspec


class CostModel(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the prices of service, per second and per grant. All other costs are charged explicitly."""

    per_second: float = 0.0
    """Price per second for each seat held."""
    per_grant: float = 0.0
    capacity_per_s: float
    """Approximate total service per second of all tenants; used only to bound debts, credits and remote gains."""
    first_guess: float = 0.0
    """Assumed cost of a grant, without its own price, until grants have been released."""


HOLD_S_FIRST_GUESS = 5.0
TOKENS_FIRST_GUESS = 500.0
TOKENS_PER_SEAT_SECOND = 50.0
"""Approximate tokens per second that one request to a model with 8 billion parameters gets."""


def of_seats(seats: int) -> CostModel:
    """Return the cost model for seats, charged by the second.

    GPU seconds use it as well: they accrue in the same way and are settled at the end.
    """
    return CostModel(per_second=1.0, capacity_per_s=seats, first_guess=HOLD_S_FIRST_GUESS)


def of_tokens(seats: int) -> CostModel:
    """Return the cost model for tokens: charged as they are generated, and settled by the worker's count."""
    return CostModel(capacity_per_s=seats * TOKENS_PER_SEAT_SECOND, first_guess=TOKENS_FIRST_GUESS)


def of_calls(per_s: float, *, seats: int) -> CostModel:
    """Return the cost model for calls: each pays for its part of the rate and its seat, in seconds of the whole budget.

    The scarcer of the two then dominates: long calls are shared by seats, short ones by number.
    """
    return CostModel(per_second=1 / seats, per_grant=1 / per_s, capacity_per_s=1.0)
