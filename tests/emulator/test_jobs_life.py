"""The laws of the job store, under any sequence of calls."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.emulator.job import Job, QueueFullError, Terms
from gateway.emulator.jobs import JobStore
from gateway.wire.runpod import JobState


class Life(RuleBasedStateMachine):
    """Any sequence of calls: no item is lost or handed out twice, and the indexes agree with the states."""

    def __init__(self) -> None:
        super().__init__()
        self.store = JobStore(jobs_kept_max=8, result_bytes_max=100, retries_max=1)
        self.now_s = 0.0
        self.jobs: list[Job] = []
        self.read: dict[str, list[bytes]] = {}
        self.added: dict[str, list[bytes]] = {}

    def some(self, data: st.DataObject) -> Job:
        return data.draw(st.sampled_from(self.store.all()))

    @rule(ttl_s=st.floats(1, 200), retention_s=st.floats(1, 50))
    def submit(self, ttl_s, retention_s):
        job_id = str(len(self.jobs))
        terms = Terms(ttl_s=ttl_s, execution_timeout_s=20.0, retention_s=retention_s, queue_timeout_s=60.0)
        try:
            job = Job(id=job_id, input=b"{}", terms=terms, submitted_s=self.now_s)
            self.store.submit(job)
        except QueueFullError:
            assert not any(kept.state.is_terminal for kept in self.store.all())
        else:
            self.jobs.append(job)
            self.read[job_id], self.added[job_id] = [], []

    @rule(worker=st.sampled_from("ab"))
    def take(self, worker):
        waiting = self.store.queued_count
        assert (self.store.take(worker, self.now_s) is not None) == (waiting > 0)

    @precondition(lambda self: self.store.running_count)
    @rule(data=st.data())
    def add_item(self, data):
        job = data.draw(st.sampled_from(self.store.running))
        item = b"%d" % job.outputs_count
        self.store.add_item(job, item)
        self.added[job.id].append(item)

    @precondition(lambda self: self.store.running_count)
    @rule(data=st.data(), how=st.sampled_from(["complete", "fail", "lose_worker"]))
    def end(self, data, how):
        job = data.draw(st.sampled_from(self.store.running))
        argument = {"complete": [b"1"], "fail": ["boom"], "lose_worker": []}[how]
        getattr(self.store, how)(job, *argument, self.now_s)

    @precondition(lambda self: self.store.all())
    @rule(data=st.data(), late_s=st.sampled_from([0.0, 5.0]))
    def cancel(self, data, late_s):
        self.store.cancel(self.some(data), self.now_s, late_s=late_s)

    @precondition(lambda self: self.store.all())
    @rule(data=st.data())
    def retry(self, data):
        job = self.some(data)
        if job.state in {JobState.FAILED, JobState.TIMED_OUT}:
            self.store.retry(job, self.now_s)
            self.read[job.id], self.added[job.id] = [], []

    @precondition(lambda self: self.store.all())
    @rule(data=st.data(), outputs_max=st.integers(0, 3))
    def hand_out(self, data, outputs_max):
        job = self.some(data)
        items = self.store.read(job, outputs_max)
        assert not outputs_max or len(items) <= outputs_max
        self.read[job.id].extend(items)

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds):
        self.now_s += seconds
        self.store.expire(self.now_s)

    @invariant()
    def nothing_is_lost_or_doubled(self):
        for job in self.store.all():
            assert self.read[job.id] + job.unread == self.added[job.id]

    @invariant()
    def indexes_agree_with_states(self):
        kept = self.store.all()
        assert len(kept) <= 8
        assert self.store.queued_count == sum(job.state is JobState.IN_QUEUE for job in kept)
        assert self.store.running_count == sum(job.state is JobState.IN_PROGRESS for job in kept)
        assert set(self.store._worker_time._stays) == {job.id for job in self.store.running}
        assert {job.id for job in self.jobs if not job.is_deleted} == {job.id for job in kept}

    @invariant()
    def every_kept_job_will_end(self):
        assert all(self.now_s < job.deadline_s < float("inf") for job in self.store.all())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
