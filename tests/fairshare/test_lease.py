import pytest

from gateway.domain import OutagePolicy
from gateway.fairshare.lease import BEAT_S, HOLD_S, LEASE_S, SLOW_S, Contact, Lease, token_rate

SHARE, CLOSED, OPEN = OutagePolicy.SHARE, OutagePolicy.CLOSED, OutagePolicy.OPEN


def leased(policy: OutagePolicy, limit: int = 10, *, replicas: int = 4) -> tuple[Lease, Contact]:
    """A lease of some of 40 seats, renewed at time 0."""
    contact = Contact(heard_at_s=0.0, replicas=replicas)
    lease = Lease(seats_max=40, policy=policy, contact=contact)
    lease.renew(epoch=1, limit=limit, tokens=5, sent_at_s=0.0)
    return lease, contact


@pytest.mark.parametrize("policy", list(OutagePolicy))
def test_a_lease_holds_as_long_as_it_was_given_for(policy: OutagePolicy) -> None:
    lease, _ = leased(policy)
    assert lease.seats(0.9 * LEASE_S - 0.01) == 10


@pytest.mark.parametrize(
    ("policy", "limit", "silence_s", "seats"),
    [
        (CLOSED, 10, LEASE_S, 0),
        (OPEN, 10, LEASE_S, 40),
        (SHARE, 25, LEASE_S, 25),
        (SHARE, 25, HOLD_S - 0.1, 25),
        # Who has more than a part lets go first; who has less takes it up only then.
        (SHARE, 25, HOLD_S + 0.1, 10),
        (SHARE, 2, HOLD_S + 0.1, 2),
        (SHARE, 2, 2 * HOLD_S + 0.1, 10),
    ],
)
def test_seats_without_a_store(policy: OutagePolicy, limit: int, silence_s: float, seats: int) -> None:
    lease, _ = leased(policy, limit)
    assert lease.seats(silence_s) == seats


@pytest.mark.parametrize(("policy", "seats"), [(CLOSED, 0), (SHARE, 0), (OPEN, 40)])
def test_who_never_had_a_lease_does_not_know_what_others_use(policy: OutagePolicy, seats: int) -> None:
    lease = Lease(seats_max=40, policy=policy, contact=Contact())
    assert lease.seats(100.0) == seats
    assert lease.parts(100.0) == (1 if policy is OPEN else None)


def test_tokens_are_for_one_heartbeat_only() -> None:
    lease, _ = leased(SHARE)
    assert lease.has_token(BEAT_S - 0.01)
    assert not lease.has_token(BEAT_S)
    lease.tokens = 0
    assert not lease.has_token(0.0)


@pytest.mark.parametrize(
    ("policy", "is_refused", "silence_s", "parts"),
    [
        # The store may only be slow, and others may be granted the whole rate meanwhile.
        (SHARE, False, 1.0, None),
        (SHARE, False, LEASE_S, 4),
        # Nobody listens: it is the same for everybody.
        (SHARE, True, 0.5, 4),
        (CLOSED, True, LEASE_S, None),
        (OPEN, False, 1.0, None),
        (OPEN, True, 0.5, 1),
    ],
)
def test_the_rate_without_a_store(
    policy: OutagePolicy, is_refused: bool, silence_s: float, parts: float | None
) -> None:
    lease, contact = leased(policy)
    contact.is_refused = is_refused
    assert lease.parts(silence_s) == parts


@pytest.mark.parametrize("calls", [2, 10, 100, 1000, 2000])
def test_granted_calls_fit_any_ten_seconds_however_late_they_are_sent(calls: int) -> None:
    """Within 10 s at Runpod arrives what was granted in as long, and in the time that a grant and the network take."""
    rate, burst = token_rate(calls)
    assert burst + rate * (10 + BEAT_S + 0.1) <= calls + 1e-9


def test_an_answer_shows_which_replicas_are_alive_and_whether_it_was_slow() -> None:
    contact = Contact()
    contact.hear("b", ("c", "a"), sent_at_s=5.0, now_s=5.0 + SLOW_S / 2)
    assert (contact.replicas, contact.rank, contact.heard_at_s, contact.is_slow) == (3, 1, 5.0, False)
    contact.hear("b", (), sent_at_s=6.0, now_s=6.1 + SLOW_S)
    assert (contact.replicas, contact.rank, contact.heard_at_s, contact.is_slow) == (1, 0, 6.0, True)
