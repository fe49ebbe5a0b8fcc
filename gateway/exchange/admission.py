"""What a request has at an endpoint once its turn has come."""

import msgspec

from gateway.exchange.meter import Meter
from gateway.exchange.seat import Seat
from gateway.exchange.upstream import Upstream


class Admission(msgspec.Struct, frozen=True):
    """A request that was let through to an endpoint."""

    upstream: Upstream
    meter: Meter
    seat: Seat
