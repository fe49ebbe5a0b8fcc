from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoints.typical_times import TENANTS_KEPT, VALUES_KEPT, TypicalTimes


def noted(*times: tuple[str, float]) -> TypicalTimes:
    subject = TypicalTimes()
    for tenant, seconds in times:
        subject.note(tenant, seconds)
    return subject


def test_of_one_tenant_the_median_of_the_newest_counts() -> None:
    assert noted().typical_s() is None
    assert noted(("a", 1), ("a", 3), ("a", 50)).typical_s() == 3
    assert noted(*[("a", 100.0)] * VALUES_KEPT, *[("a", 2.0)] * VALUES_KEPT).typical_s() == 2


@given(st.lists(st.floats(0, 1000)))
def test_one_tenant_alone_makes_nothing_seem_longer(slow_s: list[float]) -> None:
    subject = noted(("polite", 2.0), *(("hostile", each) for each in slow_s))
    assert (subject.typical_s() or 0.0) <= 2.0


def test_several_tenants_show_what_is_usual() -> None:
    assert noted(("a", 10), ("b", 60), ("c", 600)).typical_s() == 60


def test_those_that_were_not_heard_for_longest_are_forgotten() -> None:
    subject = noted(("old", 1.0), ("kept", 2.0), *((f"t{number}", 50.0) for number in range(TENANTS_KEPT - 2)))
    assert subject.typical_s() == 50
    subject.note("kept", 2.0)
    subject.note("new", 50.0)
    assert len(subject._times_s) == TENANTS_KEPT
    assert "old" not in subject._times_s
    assert "kept" in subject._times_s
