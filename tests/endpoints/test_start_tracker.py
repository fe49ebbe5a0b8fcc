from gateway.domain import EndpointState
from gateway.endpoints.start_tracker import StartTracker, state_by_health

WAKING, LOADING = EndpointState.WAKING, EndpointState.LOADING


def look(watch: StartTracker, now_s: float, *, is_taken: bool = False, is_waiting: bool = True, **workers: int) -> None:
    watch.on_health(workers, now_s, is_taken=is_taken, is_waiting=is_waiting)


def test_a_start_counts_from_when_it_was_first_seen() -> None:
    watch = StartTracker()
    assert watch.since_s(WAKING) is None
    for now_s in (10.0, 15.0):
        look(watch, now_s, initializing=1)
    assert watch.since_s(WAKING) == 10.0
    look(watch, 20.0, idle=1)
    assert watch.since_s(WAKING) is None
    look(watch, 25.0, initializing=2)
    assert watch.since_s(WAKING) == 25.0
    look(watch, 30.0, running=1)
    assert (watch.since_s(WAKING), watch.since_s(LOADING)) == (None, 30.0)


def test_loading_counts_from_the_first_request_that_a_worker_had() -> None:
    watch = StartTracker()
    watch.taken(5.0)
    watch.taken(8.0)
    assert watch.since_s(LOADING) == 5.0
    watch.taken(4.0)
    # The requests may have been given up since, and others have come.
    look(watch, 20.0, running=1)
    assert watch.since_s(LOADING) == 4.0
    look(watch, 25.0, is_taken=True, idle=1)
    assert watch.since_s(LOADING) == 4.0
    look(watch, 30.0, idle=1)
    assert watch.since_s(LOADING) is None


def test_output_ends_it_and_a_worker_of_somebody_else_is_none() -> None:
    watch = StartTracker()
    look(watch, 1.0, initializing=1)
    watch.taken(2.0)
    watch.over()
    assert (watch.since_s(WAKING), watch.since_s(LOADING)) == (None, None)
    look(watch, 3.0, is_waiting=False, running=1)
    assert watch.since_s(LOADING) is None


def test_health_alone_speaks_for_the_furthest_that_any_worker_is() -> None:
    workers = {"running": 1, "initializing": 1, "idle": 1, "throttled": 1, "unhealthy": 1}
    states = []
    while workers:
        states.append(state_by_health(workers))
        del workers[next(iter(workers))]
    assert states == [LOADING, WAKING, EndpointState.ASLEEP, EndpointState.THROTTLED, EndpointState.UNHEALTHY]
    assert state_by_health({"ready": 1}) is EndpointState.ASLEEP
    assert state_by_health({}) is EndpointState.ABSENT
