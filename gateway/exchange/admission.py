"""Describe a request that was admitted to an endpoint."""

import msgspec

from gateway.exchange.meter import Meter
from gateway.exchange.seat import Seat
from gateway.exchange.upstream import Upstream


class Admission(msgspec.Struct, frozen=True):
    """Hold the seat and the endpoint of an admitted request."""

    upstream: Upstream
    meter: Meter
    seat: Seat
