"""Describe a request that was admitted to an endpoint."""

import msgspec

from gateway.admission.request_meter import RequestMeter
from gateway.admission.seat import Seat
from gateway.endpoints.upstream import Upstream


class Admission(msgspec.Struct, frozen=True):
    """Hold the seat and the endpoint of an admitted request."""

    upstream: Upstream
    meter: RequestMeter
    seat: Seat
