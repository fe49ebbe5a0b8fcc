import pytest

from gateway.admission.capacity import StaticCapacity
from gateway.admission.gate import Gate
from gateway.admission.ref_counted_hold import hold_in_flight
from gateway.admission.seat import Seat
from gateway.errors import TenantLimitError
from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.quota import TenantQuota
from tests.factories import tenant
from tests.virtual_time import LoopClock


class Place:
    """A gate with one seat, a tenant with one request in flight, and a request that has both."""

    def __init__(self) -> None:
        self.owner, self.clock = tenant(name="a", max_in_flight=1), LoopClock()
        self.gate = Gate(StaticCapacity(1), of_seats(1), clock=self.clock)
        self.quota = TenantQuota(self.owner)
        self.in_flight = hold_in_flight(self.quota, self.clock)

    def has_place(self) -> bool:
        try:
            hold_in_flight(self.quota, self.clock).release()
        except TenantLimitError:
            return False
        return True


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_job_that_outlives_its_request_keeps_what_that_occupied(*, is_answered: bool) -> None:
    place = Place()
    async with place.gate.permit(place.owner, wait_s_max=0) as permit:
        seat = Seat(permit, place.in_flight)
        release = seat.keep_answered() if is_answered else seat.keep()
    place.in_flight.release()
    # An answered client may ask again; that waits for the seat.
    assert (place.gate.held, place.has_place()) == ({"a": 1}, is_answered)
    release()
    release()
    assert (place.gate.held, place.has_place()) == ({}, True)


async def test_of_several_jobs_the_last_one_gives_back() -> None:
    place = Place()
    async with place.gate.permit(place.owner, wait_s_max=0) as permit:
        seat = Seat(permit, place.in_flight)
        releases = [seat.keep(), seat.keep_answered(), seat.keep()]
    place.in_flight.release()
    for number, release in enumerate(releases):
        assert place.gate.held == {"a": 1}
        assert place.has_place() is False, number
        release()
    assert (place.gate.held, place.has_place()) == ({}, True)
