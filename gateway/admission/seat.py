"""Hold what a request occupies, and what its job occupies after it."""

from gateway.admission.permit import Permit
from gateway.admission.ref_counted_hold import RefCountedHold, Release


def both(release_permit: Release, release_place: Release) -> Release:
    """Return a function that calls both, the place's first: a returned permit may admit another request at once."""

    def release() -> None:
        release_place()
        release_permit()

    return release


class Seat:
    """Hold the permit of a request at one endpoint, and its place among its tenant's requests in flight.

    The request gives both back when it ends. A job that may still run then keeps them until it has ended, so that what
    runs at Runpod is never more than what is held here.
    """

    __slots__ = ("_in_flight", "_permit")

    def __init__(self, permit: Permit, in_flight: RefCountedHold) -> None:
        self._permit = permit
        self._in_flight = in_flight

    def keep(self) -> Release:
        """Keep permit and place for a job whose client has left; return the function that gives them back."""
        return both(self._permit.keep(), self._in_flight.share())

    def keep_answered(self) -> Release:
        """Keep only the permit, for a job whose client has its whole answer; return the function that gives it back.

        A client that sends its next request as soon as it was answered has one request in flight, and not two.
        """
        return self._permit.keep()
