import pytest

from gateway.emulator.job import Job, Terms
from gateway.emulator.worker_pool import KINDS, Worker, Workforce
from gateway.emulator.worker_time import NS_PER_S, WorkerTime

TERMS = Terms(ttl_s=1e6, execution_timeout_s=1e6, retention_s=1e6)


class Stage:
    """A workforce with scripted workers that sleep, and the time that is told to it."""

    def __init__(self, *conditions: str, **options) -> None:
        self.time = WorkerTime()
        self.workforce = Workforce(self.time, **options)
        self.workers = [self.employ(str(number), condition) for number, condition in enumerate(conditions)]

    def employ(self, worker_id: str, condition: str) -> Worker:
        worker = Worker(id=worker_id, kind="scripted", condition=condition, seen_s=0.0, sleeps=True)
        self.workforce.add(worker, 0.0)
        return worker

    def begin(self, worker_id: str, now_s: float = 0.0) -> Job:
        job = Job(id=f"on-{worker_id}", input=b"{}", terms=TERMS, submitted_s=0.0)
        self.time.begin(job, worker_id, now_s)
        return job

    def shown(self, now_s: float = 0.0, *, down: str = "") -> dict[str, int]:
        counts = self.workforce.counts(now_s, down=down)
        assert set(counts) == set(KINDS)
        return {kind: count for kind, count in counts.items() if count}


def test_each_condition_is_counted():
    stage = Stage("asleep", "starting", "up", "up")
    stage.begin("3")
    assert stage.shown() == {"initializing": 1, "running": 1, "idle": 1, "ready": 1}


def test_standby_workers_are_shown_as_in_the_recording_of_a_job_that_wakes_one():
    stage = Stage("asleep", standby_workers=2, idle_shown="running")
    (worker,) = stage.workers
    assert stage.shown() == {"idle": 2, "ready": 2}
    stage.workforce.change(worker, "starting", 1.0)
    assert stage.shown(1.0) == {"idle": 1, "initializing": 1, "ready": 1}
    stage.workforce.change(worker, "up", 2.0)
    job = stage.begin("0", 2.0)
    assert stage.shown(2.0) == {"idle": 1, "ready": 1, "running": 1}
    stage.time.end(job, 3.0)
    assert stage.shown(3.0) == {"idle": 1, "ready": 1, "running": 1}
    stage.workforce.send_to_standby(8.0)
    assert stage.shown(8.0) == {"idle": 2, "ready": 2}


def test_more_workers_than_standby_workers_can_run():
    stage = Stage("up", "up", "up", "asleep", standby_workers=2)
    for worker_id in "012":
        stage.begin(worker_id)
    assert stage.shown() == {"running": 3}


def test_without_standby_workers_a_sleeping_one_does_not_exist():
    assert Stage("asleep").shown() == {}


@pytest.mark.parametrize(
    ("idle_shown", "running"),
    [("running", [1, 1, 1, 1]), ("idle", [0, 0, 0, 0]), ("swinging", [1, 0, 1, 0])],
)
def test_a_worker_in_its_idle_timeout(idle_shown, running):
    stage = Stage("up", idle_shown=idle_shown)
    shown = [stage.shown(at_s) for at_s in (0.5, 1.5, 2.5, 3.5)]
    assert [counts.get("running", 0) for counts in shown] == running
    assert [counts.get("idle", 0) + counts.get("running", 0) for counts in shown] == [1, 1, 1, 1]
    assert [counts.get("ready", 0) for counts in shown] == [counts.get("idle", 0) for counts in shown]


@pytest.mark.parametrize("idle_shown", ["running", "swinging"])
def test_a_worker_that_never_sleeps_is_in_no_idle_timeout(idle_shown):
    stage = Stage("up", idle_shown=idle_shown)
    stage.workers[0].sleeps = False
    assert stage.shown() == {"idle": 1, "ready": 1}


def test_a_standby_worker_that_swings_is_shown_as_running_and_costs_nothing():
    stage = Stage("asleep", standby_workers=2, standby_swings=True)
    assert stage.shown(0.0) == {"idle": 1, "ready": 1, "running": 1}
    assert stage.shown(1.0) == {"idle": 2, "ready": 2}
    assert stage.time.usage(1.0).total_ns == 0


def test_a_worker_sleeps_when_its_idle_timeout_is_over_and_is_billed_until_then():
    stage = Stage("up", "up", idle_timeout_s=5.0)
    job = stage.begin("1", 0.0)
    stage.workforce.send_to_standby(4.9)
    assert [worker.condition for worker in stage.workers] == ["up", "up"]
    stage.workforce.send_to_standby(100.0)
    assert [worker.condition for worker in stage.workers] == ["asleep", "up"]
    assert stage.workforce.is_asleep("0")
    stage.time.end(job, 100.0)
    stage.workforce.send_to_standby(105.0)
    assert stage.workforce.is_asleep("1")
    usage = stage.time.usage(200.0)
    assert (usage.busy_ns, usage.idle_ns) == (100 * NS_PER_S, 10 * NS_PER_S)


def test_a_sleeping_worker_is_needed_when_more_jobs_wait_than_there_are_places():
    stage = Stage("asleep", "up", "starting")
    sleeping, up, _ = stage.workers
    stage.workforce.hear_of("remote", 0.0)
    needed = {
        queued_count: stage.workforce.is_needed(sleeping, queued_count=queued_count, places=3)
        for queued_count in (0, 6, 7)
    }
    assert needed == {0: False, 6: False, 7: True}
    stage.begin("1")
    assert stage.workforce.is_needed(sleeping, queued_count=6, places=3)
    assert not stage.workforce.is_needed(up, queued_count=100, places=3)


@pytest.mark.parametrize(
    ("down", "counts"), [("throttled", {"throttled": 2}), ("unhealthy", {"unhealthy": 2}), ("absent", {})]
)
def test_workers_that_are_down(down, counts):
    assert Stage("up", "asleep").shown(down=down) == counts
    assert Stage("up", standby_workers=2).shown(down=down) == counts


def test_a_remote_worker_appears_with_its_first_call_and_is_forgotten_when_it_falls_silent():
    stage = Stage("up")
    workforce = stage.workforce
    workforce.hear_of("remote", 10.0)
    assert workforce.up_count() == 2
    workforce.hear_of("remote", 20.0)
    assert workforce.bury_silent(20.0, 30.0) == set()
    assert workforce.bury_silent(20.1, 30.0) == {"remote"}
    assert workforce.up_count() == 1
    assert not workforce.is_asleep("remote")


def test_a_remote_worker_without_a_job_is_idle_and_ready_and_takes_the_place_of_a_standby_worker():
    stage = Stage(standby_workers=2, idle_shown="running")
    stage.workforce.hear_of("remote", 0.0)
    assert stage.shown() == {"idle": 2, "ready": 2}
    stage.begin("remote")
    assert stage.shown() == {"idle": 1, "ready": 1, "running": 1}
    stage.workforce.send_to_standby(1000.0)
    assert not stage.workforce.is_asleep("remote")
