"""The state machine as a table: what was seen, and what is known then."""

import pytest

from gateway.domain import EndpointState
from gateway.exchange.endpoint_state import (
    FORESIGHT,
    HEALTH_S_MAX,
    IDLE_TIMEOUT_S,
    PROMPT_S,
    STAY_MARGIN,
    EndpointStateMachine,
)
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
    assert machine.usual_start_s() == 60.0


def test_a_slow_model_s_first_token_is_no_cold_start() -> None:
    machine = EndpointStateMachine()
    end_s = served(machine, 0.0, wait_s=60.0)
    for _ in range(4):
        end_s = served(machine, end_s + 0.5, wait_s=3.0)
    end_s = served(machine, end_s + 100, wait_s=5.0)
    assert machine.is_ready_for_burst(end_s + 300)
    assert machine.usual_start_s() == 60.0


def test_a_whole_answer_tells_of_its_wait_in_the_queue_alone() -> None:
    machine = EndpointStateMachine()
    activity = machine.begin(0.0)
    activity.taken(40.0)
    activity.output(90.0, is_first_token=False)
    activity.end(90.0)
    assert machine.usual_start_s() == 40.0
    end_s = served(machine, 91.0, wait_s=50.0, is_first_token=False)
    assert machine.usual_start_s() == 40.0
    activity = machine.begin(end_s + 100)
    activity.taken(end_s + 100.5)
    activity.output(end_s + 150, is_first_token=False)
    # Promptly taken, and maybe loaded: nothing was learned either way.
    assert machine.usual_start_s() == 40.0


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
    assert machine.usual_start_s() is None
    at_s = 0.0
    for wait_s in (40.0, 60.0, 50.0):
        at_s = served(machine, at_s, wait_s=wait_s)
        at_s = served(machine, at_s + 0.1, wait_s=PROMPT_S / 2)
        at_s += 1000
    assert machine.usual_start_s() == 50.0


def test_what_a_waiting_client_may_be_told() -> None:
    machine = EndpointStateMachine()
    assert machine.report(5.0).since_s is None
    machine.read(health(initializing=1), 5.0)
    queued = machine.begin(0.0)
    assert (machine.report(7.0).state, machine.report(7.0).since_s) == (S.WAKING, 7.0)
    machine.begin(5.0).taken(6.0)
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
