import pytest

from gateway.admission.ref_counted_hold import RefCountedHold, hold_in_flight
from gateway.errors import TenantLimitError
from gateway.fairshare.quota import TenantQuota
from tests.factories import tenant
from tests.fakes.clock import FakeClock


class Held:
    def __init__(self) -> None:
        self.releases = 0
        self.hold = RefCountedHold(self.release)

    def release(self) -> None:
        self.releases += 1


def test_one_user_releases_once() -> None:
    held = Held()
    held.hold.release()
    held.hold.release()
    assert held.releases == 1


def test_it_is_held_until_the_last_user_is_done_whoever_that_is() -> None:
    held = Held()
    first, second = held.hold.share(), held.hold.share()
    first()
    first()
    held.hold.release()
    held.hold.release()
    assert held.releases == 0
    second()
    second()
    assert held.releases == 1


def test_what_is_released_is_held_by_no_later_user() -> None:
    held = Held()
    held.hold.release()
    late = held.hold.share()
    late()
    held.hold.release()
    assert held.releases == 1


def test_a_place_in_flight_is_free_when_its_users_are_done() -> None:
    clock, quota = FakeClock(), TenantQuota(tenant(max_in_flight=1))
    hold = hold_in_flight(quota, clock)
    job_is_over = hold.share()
    hold.release()
    with pytest.raises(TenantLimitError):
        hold_in_flight(quota, clock)
    job_is_over()
    hold_in_flight(quota, clock)
