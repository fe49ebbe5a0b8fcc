"""What a request occupies, and what a job that it began goes on to occupy."""

from gateway.admission.permit import Permit
from gateway.admission.shared_hold import Release, SharedHold


def both(release_permit: Release, release_place: Release) -> Release:
    """Return what calls both. The place comes first, as a permit given back may let another request run at once."""

    def release() -> None:
        release_place()
        release_permit()

    return release


class Seat:
    """The permit of a request at one endpoint, and its place among the requests in flight of its tenant.

    The request gives both back when it ends. A job that may still run then keeps them until it has ended, so that what
    runs at Runpod is never more than what is held here.
    """

    __slots__ = ("_in_flight", "_permit")

    def __init__(self, permit: Permit, in_flight: SharedHold) -> None:
        self._permit = permit
        self._in_flight = in_flight

    def keep(self) -> Release:
        """Keep both for a job whose client has left; return what gives them back."""
        return both(self._permit.keep(), self._in_flight.share())

    def keep_answered(self) -> Release:
        """Keep the permit alone, for a job whose client has its whole answer; return what gives it back.

        A client that sends its next request as soon as it was answered has one request in flight, and not two.
        """
        return self._permit.keep()
