"""When a worker has a job is known from polls, from Runpod's report, or not at all."""

import pytest

from gateway.endpoints.jobs_in_flight import InFlightCounts
from gateway.jobs.job_times import START_DOUBT_S, JobTimes
from tests.factories import attempt, tenant
from tests.fakes.clock import FakeClock
from tests.machines import services


class Timed:
    """A job that has just been accepted."""

    def __init__(self, *, is_surely_warm: bool = False) -> None:
        self.clock = FakeClock()
        self.upstream = services(self.clock).upstreams["chat"]
        if is_surely_warm:
            self.upstream.output(self.upstream.begin(tenant()), is_first_token=True)
        self.charged: list[float] = []
        self.time = self.upstream.gpu.open(attempt(), self.charged.append)
        self.activity = self.upstream.begin(tenant())
        assert self.activity.is_surely_warm is is_surely_warm
        self.times = JobTimes(self.upstream, self.activity, self.time, self.clock)

    def look(self, after_s: float, *, has_started: bool) -> bool:
        self.clock.now_s += after_s
        return self.times.note_state(has_started=has_started)

    def end(self, **facts: bool | float) -> list[float]:
        """End it; return what it is charged, if that is final."""
        own = {"has_started": True, "has_ended": True, "is_answered": False, "execution_s": None}
        self.times.end(**{**own, **facts})
        return self.charged


def test_a_job_that_still_waits_is_not_unclear() -> None:
    timed = Timed()
    assert not timed.look(9, has_started=False)
    assert timed.time.is_seen_waiting
    assert not timed.times.is_timed
    assert timed.activity.taken_at_s is None


@pytest.mark.parametrize(
    ("waited_s", "after_s", "is_unclear"),
    [
        (0, 0, False),
        (0, START_DOUBT_S, False),
        (0, START_DOUBT_S + 0.01, True),
        (9, START_DOUBT_S, False),
        (9, START_DOUBT_S + 0.01, True),
    ],
)
def test_a_start_is_unclear_if_the_last_poll_before_it_was_long_ago(
    *, waited_s: float, after_s: float, is_unclear: bool
) -> None:
    timed = Timed()
    if waited_s:
        timed.look(waited_s, has_started=False)
    assert timed.look(after_s, has_started=True) is is_unclear
    assert timed.times.is_timed
    # The worker is known of at once, and its start when Runpod was asked.
    assert timed.activity.taken_at_s == pytest.approx(1000 + waited_s + after_s)
    assert timed.time.has_started is not is_unclear


def test_a_job_of_a_warm_endpoint_started_when_it_came() -> None:
    timed = Timed(is_surely_warm=True)
    assert not timed.look(9, has_started=True)
    assert timed.time.has_started
    assert timed.end() == [9]


def test_a_start_is_looked_for_once() -> None:
    timed = Timed()
    assert timed.look(9, has_started=True)
    assert not timed.look(9, has_started=True)
    assert not timed.look(9, has_started=False)
    assert timed.activity.taken_at_s == 1009
    assert not timed.time.has_started


@pytest.mark.parametrize(
    ("delay_s", "taken_at_s", "charged_s"),
    [
        (4, 1004, 8),
        (0, 1000, 12),
        # Not in the future, whatever Runpod's clock says.
        (99, 1009, 3),
        # Seen at 1009; it may have run since 1002, when it was last seen to wait.
        (None, 1009, 10),
    ],
)
def test_a_job_started_after_the_delay_that_runpod_reports(
    delay_s: float | None, taken_at_s: float, charged_s: float
) -> None:
    timed = Timed()
    if delay_s is None:
        timed.look(2, has_started=False)
    timed.clock.now_s = 1009
    assert timed.look(0, has_started=True)
    timed.times.started(delay_s)
    assert timed.activity.taken_at_s == taken_at_s
    assert timed.time.has_started
    timed.clock.now_s = 1012
    assert timed.end() == pytest.approx([charged_s])


def test_a_job_that_runpod_restarted_started_after_it_was_last_seen_to_wait() -> None:
    """Its delay is counted again from the restart."""
    timed = Timed()
    timed.look(7, has_started=False)
    assert timed.look(1, has_started=True)
    timed.times.started(0.5)
    assert timed.activity.taken_at_s == 1007


@pytest.mark.parametrize(("has_ended", "all_jobs"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("is_answered", [False, True])
def test_a_job_that_has_not_ended_may_run_on(*, is_answered: bool, has_ended: bool, all_jobs: int) -> None:
    timed = Timed()
    timed.look(0, has_started=True)
    timed.clock.now_s += 5
    timed.end(has_ended=has_ended, is_answered=is_answered)
    assert timed.activity.is_over
    assert timed.upstream.workers.jobs_in_flight.count(timed.clock.now_s) == InFlightCounts(sure=0, all=all_jobs)


@pytest.mark.parametrize(
    ("facts", "charged"),
    [
        ({"has_ended": True}, [5]),
        ({"has_ended": True, "execution_s": 2}, [2]),
        ({"has_ended": True, "execution_s": 99}, [5]),
        ({"has_ended": False, "is_answered": True}, [5]),
        # It runs on, and its canceller ends it.
        ({"has_ended": False}, []),
    ],
)
def test_a_job_is_charged_until_it_has_ended_or_is_answered(
    facts: dict[str, bool | float], charged: list[float]
) -> None:
    timed = Timed()
    timed.look(0, has_started=True)
    timed.clock.now_s += 5
    assert timed.end(**facts) == charged


@pytest.mark.parametrize(("has_started", "charged"), [(True, [12]), (False, [0])])
def test_a_job_that_ends_while_its_start_is_asked_for_ran_since_it_was_last_seen_waiting(
    *, has_started: bool, charged: list[float]
) -> None:
    timed = Timed()
    timed.look(9, has_started=has_started)
    timed.clock.now_s += 3
    assert timed.end(has_started=has_started) == charged


@pytest.mark.parametrize(("is_first_token", "usual_start_s"), [(True, 50), (False, None)])
def test_only_a_first_token_shows_how_long_a_worker_took_to_start(
    *, is_first_token: bool, usual_start_s: float | None
) -> None:
    timed = Timed()
    timed.clock.now_s += 50
    timed.times.answered(is_first_token=is_first_token)
    assert timed.activity.has_output
    assert timed.upstream.workers.report(timed.clock.now_s).usual_s == usual_start_s


def test_the_reported_time_is_kept_for_the_account() -> None:
    timed = Timed()
    timed.times.report(2.5)
    assert timed.time.execution_s == 2.5
