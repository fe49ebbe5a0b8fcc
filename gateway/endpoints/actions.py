"""Define what a state machine may ask its driver to do for a call to Runpod. See `exchange/exchange.py`."""

import msgspec

from gateway.admission.permit import Permit
from gateway.upstream.client import EndpointClient
from gateway.upstream.request import UpstreamRequest


class AwaitPermit(msgspec.Struct, frozen=True, eq=False):
    """Wait until the permit is granted or evicted, then report `wait_ended`."""

    permit: Permit


class Pause(msgspec.Struct, frozen=True, eq=False):
    """Wait until a time, in monotonic seconds, then report `resumed`."""

    until_s: float


class Send(msgspec.Struct, frozen=True, eq=False):
    """Send a request, and report `head`, each `piece`, then `ended`; or `failed`.

    The call is closed as soon as the machine has another action.
    """

    client: EndpointClient
    request: UpstreamRequest
    is_shielded: bool = False
    """True if it has to be carried out even if the task of the driver is cancelled."""


CallAction = AwaitPermit | Pause | Send
