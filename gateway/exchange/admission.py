"""Describe a request that was let through to an endpoint."""

import msgspec

from gateway.exchange.meter import Meter
from gateway.exchange.seat import Seat
from gateway.exchange.upstream import Upstream


class Admission(msgspec.Struct, frozen=True):
    """Hold the seat and the endpoint of a request that was let through."""

    upstream: Upstream
    meter: Meter
    seat: Seat
