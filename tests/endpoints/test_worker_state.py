"""The state machine as a table: what was seen, and what is known then."""

import pytest

from gateway.domain import EndpointState
from gateway.endpoints.cold_start_stats import FORESIGHT, IDLE_TIMEOUT_S, LOAD_S_MIN, PROMPT_S, STAY_MARGIN
from gateway.endpoints.health_reading import COLD_READ_S
from gateway.endpoints.worker_state import HEALTH_S_MAX, SILENT_S_MAX, EndpointStateMachine
from gateway.wire.runpod import EndpointHealth

S = EndpointState
RESTING = {"idle": 2, "initializing": 0, "ready": 2, "running": 0, "throttled": 0, "unhealthy": 0}
"""A scale-to-zero endpoint at rest, as Runpod's staff recorded it."""


def health(**workers: int) -> EndpointHealth:
    return EndpointHealth(workers=workers)


def machine_after(*, job: str, workers: dict[str, int] | None, min_workers: int = 0) -> EndpointStateMachine:
    """A machine at second 10, with one job in some state since second 0, and a reading of /health."""
    machine = EndpointStateMachine(min_workers=min_workers)
    if workers is not None:
        machine.read(health(**workers), 10.0)
    if job != "none":
        activity = machine.begin(0.0)
        if job in {"taken", "output", "over"}:
            activity.taken(4.0)
        if job in {"output", "over"}:
            activity.output(9.0)
        if job == "over":
            activity.end(9.5)
    return machine


TABLE = [
    # job, /health, state, may be relayed to, may be sent a burst
    ("none", None, S.UNKNOWN, False, False),
    ("none", RESTING, S.ASLEEP, False, False),
    ("none", {"idle": 2}, S.ASLEEP, False, False),
    ("none", {"ready": 1}, S.ASLEEP, False, False),
    ("none", {"idle": 1, "initializing": 1, "ready": 1}, S.WAKING, False, False),
    ("none", {"running": 1}, S.LOADING, False, False),
    ("none", {"throttled": 2}, S.THROTTLED, False, False),
    ("none", {"throttled": 2, "initializing": 1}, S.WAKING, False, False),
    ("none", {"throttled": 1, "idle": 1}, S.ASLEEP, False, False),
    ("none", {"unhealthy": 1}, S.UNHEALTHY, False, False),
    ("none", {"throttled": 1, "unhealthy": 1}, S.THROTTLED, False, False),
    ("none", {}, S.ABSENT, False, False),
    ("none", {"idle": 0, "running": 0}, S.ABSENT, False, False),
    ("queued", None, S.UNKNOWN, False, False),
    ("queued", RESTING, S.ASLEEP, False, False),
    ("queued", {"idle": 1, "initializing": 1, "ready": 1}, S.WAKING, False, False),
    ("queued", {"running": 1}, S.LOADING, False, False),
    ("queued", {"throttled": 1}, S.THROTTLED, False, False),
    ("queued", {}, S.ABSENT, False, False),
    # IN_PROGRESS is no sign that a worker works: a prestart hook may be loading the model.
    ("taken", None, S.LOADING, False, False),
    ("taken", {"running": 1}, S.LOADING, False, False),
    ("taken", RESTING, S.LOADING, False, False),
    ("output", None, S.WARM, True, True),
    ("output", {}, S.WARM, True, True),
    ("output", {"running": 1}, S.WARM, True, True),
    ("over", None, S.WARM, True, True),
    ("over", RESTING, S.WARM, True, True),
]


@pytest.mark.parametrize(("job", "workers", "state", "is_warm", "is_ready"), TABLE)
def test_only_output_is_evidence(
    job: str, workers: dict[str, int] | None, state: EndpointState, *, is_warm: bool, is_ready: bool
) -> None:
    machine = machine_after(job=job, workers=workers)
    assert machine.state(10.0) is state
    assert machine.is_warm(10.0) is is_warm
    assert machine.is_ready_for_burst(10.0) is is_ready


def test_an_old_reading_says_nothing() -> None:
    machine = machine_after(job="none", workers=RESTING)
    assert machine.state(10.0 + HEALTH_S_MAX) is S.ASLEEP
    assert machine.state(10.1 + HEALTH_S_MAX) is S.UNKNOWN
    assert machine.health_age_s(12.0) == 2.0


def served(machine: EndpointStateMachine, at_s: float, *, wait_s: float, is_first_token: bool = True) -> float:
    """One request, whose first output takes `wait_s`; when it is over."""
    activity = machine.begin(at_s)
    activity.output(at_s + wait_s, is_first_token=is_first_token)
    activity.end(at_s + wait_s)
    return at_s + wait_s


def test_more_output_is_heard_of_only_after_the_first() -> None:
    machine = EndpointStateMachine()
    activity = machine.begin(0.0)
    activity.heard(1.0)
    assert machine.evidence_at_s is None
    activity.output(2.0)
    activity.heard(3.0)
    assert machine.evidence_at_s == 3.0


def test_evidence_lasts_as_long_as_a_worker_stays_by_default() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    assert machine.is_warm(end_s + STAY_MARGIN * IDLE_TIMEOUT_S)
    assert not machine.is_warm(end_s + STAY_MARGIN * IDLE_TIMEOUT_S + 0.1)
    assert machine.is_ready_for_burst(end_s + STAY_MARGIN * IDLE_TIMEOUT_S + 0.1)
    assert not machine.is_ready_for_burst(end_s + IDLE_TIMEOUT_S + 0.1)


def test_a_pause_that_was_survived_lengthens_it() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    # A burst after a quiet quarter of an hour, served promptly: its workers stay up, or wake within a second.
    end_s = served(machine, end_s + 900, wait_s=0.5)
    assert machine.is_warm(end_s + STAY_MARGIN * 900)
    assert not machine.is_warm(end_s + 900)
    assert machine.is_ready_for_burst(end_s + FORESIGHT * 900)
    assert not machine.is_ready_for_burst(end_s + FORESIGHT * 901)


def test_a_pause_that_was_not_survived_shortens_it() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    end_s = served(machine, end_s + 300, wait_s=0.5)
    end_s = served(machine, end_s + 600, wait_s=60.0)
    assert machine.is_ready_for_burst(end_s + STAY_MARGIN * 600)
    assert not machine.is_ready_for_burst(end_s + 601)
    end_s = served(machine, end_s + 100, wait_s=60.0)
    assert machine.is_ready_for_burst(end_s + STAY_MARGIN * 100)
    assert not machine.is_ready_for_burst(end_s + 101)
    # And its idle timeout was raised since.
    end_s = served(machine, end_s + 1000, wait_s=0.5)
    assert machine.is_ready_for_burst(end_s + 1000)


def test_a_worker_that_was_gone_although_it_seemed_warm_is_learned_too() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    end_s = served(machine, end_s + 20, wait_s=0.5)
    assert machine.is_warm(end_s + 15)
    end_s = served(machine, end_s + 15, wait_s=60.0)
    assert not machine.is_warm(end_s + 15)
    assert machine.report(0.0).usual_s == 60.0


def test_a_slow_model_s_first_token_is_no_cold_start() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    for _ in range(4):
        end_s = served(machine, end_s + 0.5, wait_s=3.0)
    end_s = served(machine, end_s + 100, wait_s=5.0)
    assert machine.is_ready_for_burst(end_s + 300)
    assert machine.report(0.0).usual_s == 60.0


def test_a_whole_answer_tells_of_its_wait_in_the_queue_alone() -> None:
    machine = EndpointStateMachine()
    activity = machine.begin(0.0)
    activity.taken(40.0)
    activity.output(90.0, is_first_token=False)
    activity.end(90.0)
    assert machine.report(0.0).usual_s == 40.0
    end_s = served(machine, 91.0, wait_s=50.0, is_first_token=False)
    assert machine.report(0.0).usual_s == 40.0
    activity = machine.begin(end_s + 100)
    activity.taken(end_s + 100.5)
    activity.output(end_s + 150, is_first_token=False)
    # Promptly taken, and maybe loaded: nothing was learned either way.
    assert machine.report(0.0).usual_s == 40.0


def test_workers_that_are_configured_to_stay_up_need_no_waking() -> None:
    machine = machine_after(job="none", workers=RESTING, min_workers=1)
    assert machine.is_ready_for_burst(10.0)
    # The relay still waits for a first output, and loses its trust when a worker was gone after all.
    assert not machine.is_warm(10.0)
    end_s = served(machine, 10.0, wait_s=0.5)
    assert machine.is_warm(end_s + 36_000)
    end_s = served(machine, end_s + 3600, wait_s=60.0)
    assert not machine.is_warm(end_s + 36_000)


def test_usual_starts_are_those_of_cold_requests() -> None:
    machine = EndpointStateMachine()
    assert machine.report(0.0).usual_s is None
    at_s = 0.0
    for wait_s in (40.0, 60.0, 50.0):
        at_s = served(machine, at_s, wait_s=wait_s)
        at_s = served(machine, at_s + 0.1, wait_s=PROMPT_S / 2)
        at_s += 1000
    assert machine.report(0.0).usual_s == 50.0


def test_what_a_waiting_client_may_be_told() -> None:
    machine = EndpointStateMachine()
    assert machine.report(5.0).since_s is None
    machine.read(health(initializing=1), 5.0)
    queued = machine.begin(0.0)
    assert (machine.report(7.0).state, machine.report(7.0).since_s) == (S.WAKING, 2.0)
    taken = machine.begin(5.0)
    taken.taken(6.0)
    # Told once more, by a later poll.
    taken.taken(8.0)
    assert (machine.report(10.0).state, machine.report(10.0).since_s) == (S.LOADING, 4.0)
    assert machine.waiting == 2
    queued.output(11.0)
    report = machine.report(12.0)
    assert (report.state, report.since_s, report.usual_s) == (S.WARM, None, 11.0)
    assert machine.waiting == 1


def test_a_running_worker_of_somebody_else_has_no_known_beginning() -> None:
    machine = machine_after(job="none", workers={"running": 1})
    assert machine.report(10.0).since_s is None


def test_an_activity_ends_once() -> None:
    machine = EndpointStateMachine()
    activity = machine.begin(0.0)
    assert machine.has_activity
    activity.output(1.0)
    activity.output(50.0)
    activity.end(2.0)
    activity.end(60.0)
    assert not machine.has_activity
    assert not machine.is_warm(60.0)
    # One that was given up without output is no evidence.
    machine.begin(100.0).end(101.0)
    assert not machine.is_warm(101.0)


def rested() -> tuple[EndpointStateMachine, float]:
    """A machine whose endpoint was seen at work, and a time a quarter of an hour after that."""
    machine = EndpointStateMachine()
    return machine, served(machine, 0.0, wait_s=60.0) + 900


def is_believed_to_stay(machine: EndpointStateMachine, pause_s: float = 100.0) -> bool:
    """Whether a worker is expected to be there so long after the last evidence."""
    assert machine.evidence_at_s is not None
    return machine.is_warm(machine.evidence_at_s + pause_s)


def test_a_request_that_another_one_woke_the_endpoint_for_teaches_nothing_of_pauses() -> None:
    machine, at_s = rested()
    waker = machine.begin(at_s)
    follower = machine.begin(at_s + 59.5)
    assert (waker.pause_s, follower.pause_s) == (900.0, None)
    follower.output(at_s + 60.0)
    assert not is_believed_to_stay(machine)
    waker.output(at_s + 60.1)
    assert not is_believed_to_stay(machine)


@pytest.mark.parametrize("was_sent", [True, False])
def test_a_request_that_was_given_up_may_have_woken_a_worker(*, was_sent: bool) -> None:
    machine, at_s = rested()
    machine.begin(at_s).end(at_s + 5, was_sent=was_sent)
    served(machine, at_s + 55, wait_s=0.5)
    # One that Runpod never had woke nobody.
    assert is_believed_to_stay(machine) is not was_sent
    if was_sent:
        # From then on pauses are known again.
        assert machine.begin(at_s + 155.5).pause_s == 100.0


def test_a_stream_that_hangs_is_no_sign_of_a_worker() -> None:
    machine, at_s = rested()
    stream = machine.begin(at_s, tenant="acme")
    assert machine.speaking_of("acme") == 0
    stream.output(at_s + 60)
    stream.heard(at_s + 100)
    assert (machine.speaking_of("acme"), machine.speaking_of("other")) == (1, 0)
    assert machine.is_warm(at_s + 100 + SILENT_S_MAX)
    assert not machine.is_warm(at_s + 100.1 + SILENT_S_MAX)
    assert machine.speaking == 1
    # Nor when it is given up at last.
    stream.end(at_s + 600)
    assert not machine.is_warm(at_s + 600)
    assert machine.speaking == machine.speaking_of("acme") == 0


def survivor() -> tuple[EndpointStateMachine, float]:
    """A machine that believes that its workers stay for a quarter of an hour, and a time ten minutes after the last."""
    machine, at_s = rested()
    at_s = served(machine, at_s, wait_s=0.5) + 600
    assert machine.is_warm(at_s)
    return machine, at_s


def test_a_relayed_whole_answer_that_found_no_worker_is_unlearned_by_health() -> None:
    machine, at_s = survivor()
    whole = machine.begin(at_s)
    machine.read(health(**RESTING), at_s + COLD_READ_S - 0.1)
    assert machine.is_warm(at_s + COLD_READ_S)
    machine.read(health(**{**RESTING, "initializing": 1}), at_s + COLD_READ_S)
    assert not machine.is_warm(at_s + COLD_READ_S)
    assert not machine.is_ready_for_burst(at_s + COLD_READ_S)
    whole.output(at_s + 70, is_first_token=False)
    whole.end(at_s + 70)
    assert machine.is_warm(at_s + 71)
    assert not is_believed_to_stay(machine, 600.0)


@pytest.mark.parametrize(("workers", "is_taken"), [({"running": 1}, False), (RESTING, True)])
def test_a_request_that_a_worker_has_contradicts_nothing(workers: dict[str, int], *, is_taken: bool) -> None:
    machine, at_s = survivor()
    whole = machine.begin(at_s)
    if is_taken:
        whole.taken(at_s + 0.5)
    machine.read(health(**workers), at_s + 10)
    assert machine.is_warm(at_s + 10)


def test_configured_workers_that_do_not_run_are_not_relayed_to() -> None:
    machine = EndpointStateMachine(min_workers=1)
    end_s = served(machine, 0.0, wait_s=0.5)
    machine.begin(end_s + 3600)
    machine.read(health(**RESTING), end_s + 3610)
    assert not machine.is_warm(end_s + 3610)
    assert machine.is_ready_for_burst(end_s + 3610)


def test_a_whole_answer_s_wait_in_the_queue_is_a_lesson_although_the_endpoint_seemed_warm() -> None:
    machine, at_s = survivor()
    whole = machine.begin(at_s)
    whole.taken(at_s + 50)
    whole.output(at_s + 80, is_first_token=False)
    whole.end(at_s + 80)
    assert machine.report(at_s).usual_s == 55.0
    assert not is_believed_to_stay(machine, 600.0)


def test_a_relayed_whole_answer_was_maybe_written_all_that_time() -> None:
    machine, at_s = rested()
    whole = machine.begin(at_s)
    whole.output(at_s + 50, is_first_token=False)
    assert machine.report(at_s).usual_s == 60.0


def test_a_job_that_is_taken_at_once_opens_the_seats_before_its_output() -> None:
    machine, at_s = rested()
    assert not machine.is_ready_for_burst(at_s)
    whole = machine.begin(at_s)
    whole.taken(at_s + 1.2)
    assert not machine.is_ready_for_burst(at_s + 1.2)
    # Seen late, by a poll, and taken early by Runpod's own account.
    whole.taken(at_s + 1.3, at_s=at_s + 0.4)
    assert machine.is_ready_for_burst(at_s + 300)
    assert machine.state(at_s + 300) is S.WARM
    assert not machine.is_warm(at_s + 300)
    whole.end(at_s + 301)
    assert not machine.is_ready_for_burst(at_s + 301)


def test_a_job_that_a_starting_or_unknown_worker_takes_at_once_opens_nothing() -> None:
    machine = EndpointStateMachine()
    machine.begin(0.0).taken(0.1)
    assert not machine.is_ready_for_burst(0.1)
    machine, at_s = rested()
    machine.begin(at_s).taken(at_s + 0.5)
    machine.read(health(idle=1, initializing=1), at_s + 0.8)
    assert not machine.is_ready_for_burst(at_s + 0.8)


def test_only_a_reading_from_after_a_job_was_taken_speaks_against_its_worker() -> None:
    machine, at_s = rested()
    machine.read(health(idle=1, initializing=1), at_s)
    machine.begin(at_s).taken(at_s + 0.5)
    assert machine.is_ready_for_burst(at_s + 0.5)
    # Asked for before, and answered late.
    machine.read(health(idle=1, initializing=1), at_s + 0.8, asked_at_s=at_s + 0.4)
    assert machine.is_ready_for_burst(at_s + 0.8)
    machine.read(health(running=1, initializing=1), at_s + 1.0)
    assert machine.is_ready_for_burst(at_s + 1.0)
    machine.read(health(initializing=1), at_s + 2.0)
    assert not machine.is_ready_for_burst(at_s + 2.0)


def test_a_short_idle_timeout_is_learned() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    assert machine.is_warm(end_s + 3)
    end_s = served(machine, end_s + 3, wait_s=60.0)
    assert machine.is_ready_for_burst(end_s + 2)
    assert not machine.is_ready_for_burst(end_s + 3)
    assert not machine.is_warm(end_s + 3)


def test_a_worker_is_surely_there_only_just_after_it_was_seen_or_where_it_was_seen_to_stay() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    first = machine.begin(end_s + 3)
    assert (first.was_warm, first.is_surely_warm) == (True, False)
    # Another one at its side knows no more.
    assert not machine.begin(end_s + 3.1).is_surely_warm
    first.output(end_s + 3.5)
    assert machine.begin(end_s + 4).is_surely_warm
    assert machine.begin(end_s + 3.5 + STAY_MARGIN * 3).is_surely_warm


@pytest.mark.parametrize(("runs_after_s", "is_survived"), [(0.6, True), (PROMPT_S, True), (PROMPT_S + 0.1, False)])
def test_a_relayed_whole_answer_survives_a_pause_where_a_worker_ran_at_once(
    runs_after_s: float, *, is_survived: bool
) -> None:
    machine, at_s = rested()
    whole = machine.begin(at_s)
    # Asked for before it came.
    machine.read(health(running=1), at_s + 0.1, asked_at_s=at_s - 0.1)
    machine.read(health(initializing=1), at_s + 0.5)
    machine.read(health(running=1), at_s + runs_after_s)
    whole.output(at_s + 40, is_first_token=False)
    whole.end(at_s + 40)
    assert is_believed_to_stay(machine) is is_survived


def test_a_prompt_whole_answer_shows_that_workers_do_not_load_with_their_jobs_any_more() -> None:
    machine, at_s = EndpointStateMachine(), 0.0
    for wait_s in (2 * LOAD_S_MIN, 4.0):
        job = machine.begin(at_s)
        job.taken(at_s + 0.3)
        job.output(at_s + wait_s, is_first_token=wait_s != 4.0)
        job.end(at_s + wait_s)
        at_s += 900
    machine.begin(at_s).taken(at_s + 0.3)
    assert machine.is_ready_for_burst(at_s + 0.3)


@pytest.mark.parametrize(
    ("workers", "since_s"), [({"idle": 1}, 9.0), ({"throttled": 1}, None), ({"unhealthy": 1}, None), ({}, None)]
)
def test_a_start_that_cannot_be_has_no_age(workers: dict[str, int], since_s: float | None) -> None:
    machine = EndpointStateMachine()
    machine.begin(1.0)
    machine.read(health(**workers), 5.0)
    assert machine.report(10.0).since_s == since_s


def test_a_start_is_as_old_as_it_was_seen_and_not_as_the_requests_that_wait() -> None:
    machine = EndpointStateMachine()
    for at_s in (0.0, 20.0, 40.0):
        waits = machine.begin(at_s)
        machine.read(health(initializing=1), at_s + 5)
        waits.end(at_s + 19)
    machine.begin(60.0)
    machine.read(health(initializing=1), 61.0)
    assert machine.report(61.0).since_s == 56.0
    assert EndpointStateMachine().report(61.0).since_s is None


def test_a_worker_that_loads_with_its_job_in_hand_opens_nothing_by_taking_it() -> None:
    machine, at_s = EndpointStateMachine(), 0.0
    for number in range(3):
        job = machine.begin(at_s)
        job.taken(at_s + 0.3)
        assert not machine.is_ready_for_burst(at_s + 0.3)
        job.output(at_s + 2 * LOAD_S_MIN)
        job.end(at_s + 2 * LOAD_S_MIN)
        assert machine.report(at_s).usual_s == 2 * LOAD_S_MIN
        at_s += 900 * (number + 1)
    # It does so no more.
    job = machine.begin(at_s)
    job.taken(at_s + 0.3)
    job.output(at_s + 0.8)
    job.end(at_s + 0.8)
    assert is_believed_to_stay(machine)
    machine.begin(at_s + 9000).taken(at_s + 9000.3)
    assert machine.is_ready_for_burst(at_s + 9001)


def test_how_fast_a_slow_model_begins_is_learned_from_jobs_that_are_taken_at_once() -> None:
    machine, at_s = rested()
    for _ in range(3):
        job = machine.begin(at_s)
        job.taken(at_s + 0.3)
        job.output(at_s + 10)
        job.end(at_s + 20)
        at_s += 900
    assert machine.report(at_s).usual_s == 60.0
    # Its workers stay, so that a relayed request may follow a pause; and it is as slow as ever.
    assert is_believed_to_stay(machine, 600.0)
    served(machine, at_s, wait_s=12.0)
    assert is_believed_to_stay(machine, 600.0)


def test_what_is_heard_before_or_told_after_the_first_output_begins_no_start() -> None:
    machine = EndpointStateMachine()
    job = machine.begin(0.0)
    job.heard(1.0)
    assert machine.evidence_at_s is None
    job.output(5.0)
    job.taken(6.0, at_s=2.0)
    assert job.taken_at_s == 2.0
    machine.begin(100.0)
    machine.read(health(running=1), 100.0)
    assert machine.report(101.0).since_s == 1.0
