from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.busy_origin import SPAN_S, Reach, Refusals


def test_a_limit_that_strikes_several_tenants_is_the_account_s() -> None:
    subject = Refusals()
    assert subject.refused("a", 0.0) is Reach.UNKNOWN
    assert subject.refused("b", SPAN_S) is Reach.ALL
    # Also where others are still let through now and then.
    subject.passed("c", SPAN_S)
    assert subject.refused("a", SPAN_S + 1) is Reach.ALL
    assert subject.refused("a", 2 * SPAN_S + 1) is Reach.UNKNOWN


def test_one_that_strikes_a_single_tenant_beside_others_is_no_limit_of_theirs() -> None:
    subject = Refusals()
    subject.passed("a", 0.0)
    assert subject.refused("a", 0.0) is Reach.UNKNOWN
    subject.passed("b", 1.0)
    assert subject.refused("a", 1.0) is Reach.ONE_REQUEST
    assert subject.refused("a", 1.0 + SPAN_S) is Reach.ONE_REQUEST
    assert subject.refused("a", 1.1 + SPAN_S) is Reach.UNKNOWN


@given(st.lists(st.floats(0, 20)))
def test_one_tenant_alone_never_limits_all(pauses_s: list[float]) -> None:
    subject, now_s = Refusals(), 0.0
    for pause_s in pauses_s:
        now_s += pause_s
        subject.passed("polite", now_s)
        assert subject.refused("hostile", now_s) is Reach.ONE_REQUEST
