import pytest

from gateway.emulator.job import IllegalMoveError, Job, QueueFullError, Terms
from gateway.emulator.jobs import JobStore
from gateway.wire.runpod import JobState

TERMS = Terms(ttl_s=1000.0, execution_timeout_s=100.0, retention_s=30.0, queue_timeout_s=500.0)


def a_store(**options) -> JobStore:
    return JobStore(**({"jobs_kept_max": 100, "result_bytes_max": 100, "retries_max": 1} | options))


def submitted(store: JobStore, job_id: str = "j", *, now_s: float = 0.0, terms: Terms = TERMS) -> Job:
    job = Job(id=job_id, input=b"{}", terms=terms, submitted_s=now_s)
    store.submit(job)
    return job


def running(store: JobStore, job_id: str = "j", *, now_s: float = 0.0) -> Job:
    job = submitted(store, job_id, now_s=now_s)
    assert store.take("w", now_s) is job
    return job


def test_jobs_are_taken_in_the_order_of_submission():
    store = a_store()
    first, second = submitted(store, "a"), submitted(store, "b")
    assert store.queued_count == 2
    assert [store.take("w", 1.0), store.take("w", 2.0), store.take("w", 3.0)] == [first, second, None]
    assert (first.state, first.worker_id, first.dispatched_s) == (JobState.IN_PROGRESS, "w", 1.0)
    assert store.running == [first, second]


def test_an_item_is_handed_out_once():
    store = a_store()
    job = running(store)
    for item in (b"1", b"2", b"3"):
        store.add_item(job, item)
    assert store.read(job, 2) == [b"1", b"2"]
    assert store.read(job, 2) == [b"3"]
    assert store.read(job) == []
    assert job.outputs_count == 3


def test_a_complete_job_keeps_its_output_for_the_retention_and_its_items_are_still_readable():
    store = a_store()
    job = running(store)
    store.add_item(job, b"1")
    assert store.complete(job, b"[1]", 5.0)
    assert (job.state, job.output, job.finished_s) == (JobState.COMPLETED, b"[1]", 5.0)
    assert store.read(job) == [b"1"]
    assert store.expire(34.9) == []
    assert store.find("j") is job
    assert store.expire(35.0) == [job]
    assert store.find("j") is None


def test_a_finished_job_outlives_its_time_to_live():
    store = a_store()
    job = submitted(store, terms=Terms(ttl_s=10.0, execution_timeout_s=100.0, retention_s=30.0))
    store.take("w", 1.0)
    store.complete(job, b"1", 9.0)
    store.expire(38.0)
    assert store.find("j") is job


def test_a_result_that_is_too_large_completes_without_output():
    store = a_store(result_bytes_max=3)
    job = running(store)
    assert not store.complete(job, b"1234", 1.0)
    assert (job.state, job.output) == (JobState.COMPLETED, b"")


def test_status_ttl_only_ever_shortens_and_only_after_the_end():
    store = a_store()
    job = running(store)
    store.keep_until(job, 1.0)
    store.expire(1.0)
    assert store.find("j") is job
    store.complete(job, b"1", 2.0)
    store.keep_until(job, 999.0)
    store.expire(32.0)
    assert store.find("j") is None


def test_a_failed_job_loses_its_partial_result():
    store = a_store()
    job = running(store)
    store.report_progress(job, b'"half"')
    store.fail(job, "boom", 1.0)
    assert (job.state, job.output, job.error) == (JobState.FAILED, b"", "boom")


def test_the_time_to_live_deletes_queued_and_running_jobs_and_stops_the_worker():
    store = a_store()
    terms = Terms(ttl_s=10.0, execution_timeout_s=100.0, retention_s=30.0)
    working, queued = submitted(store, "working", terms=terms), submitted(store, "queued", terms=terms)
    store.take("w", 0.0)
    assert set(store.expire(10.0)) == {working, queued}
    assert (working.is_deleted, queued.is_deleted) == (True, True)
    assert store.take_stops("w") == ["working"]
    assert store.queued_count == store.running_count == 0


def test_the_execution_timeout_fails_the_job_in_runpods_words_and_stops_the_worker():
    store = a_store()
    job = running(store)
    store.expire(99.9)
    assert job.state is JobState.IN_PROGRESS
    store.expire(100.0)
    assert (job.state, job.error) == (JobState.FAILED, "job timed out after 0 retries")
    assert store.take_stops("w") == ["j"]


def test_a_job_that_waits_too_long_is_timed_out():
    store = a_store()
    job = submitted(store)
    store.expire(500.0)
    assert job.state is JobState.TIMED_OUT
    assert store.failed_count == 1


def test_a_job_whose_worker_died_has_the_whole_queue_timeout_again():
    store = a_store()
    job = submitted(store, terms=Terms(ttl_s=1000.0, execution_timeout_s=100.0, retention_s=30.0, queue_timeout_s=50.0))
    store.take("w", 49.0)
    store.lose_worker(job, 60.0)
    assert store.expire(109.9) == []
    assert store.expire(110.0) == [job]
    assert job.state is JobState.TIMED_OUT


def test_cancelling_a_queued_job_takes_it_out_of_the_queue():
    store = a_store()
    job = submitted(store)
    store.cancel(job, 1.0)
    assert job.state is JobState.CANCELLED
    assert store.take("w", 2.0) is None
    assert store.take_stops("") == []


def test_cancelling_a_running_job_tells_its_worker_once():
    store = a_store()
    job = running(store)
    store.cancel(job, 1.0)
    assert (job.state, job.cancel_requested_s) == (JobState.CANCELLED, 1.0)
    assert store.has_stops("w")
    assert store.take_stops("w") == ["j"]
    assert not store.has_stops("w")


def test_a_late_cancel_lets_the_job_go_on():
    store = a_store()
    job = running(store)
    store.cancel(job, 1.0, late_s=5.0)
    store.expire(5.9)
    assert store.holds(job, "w")
    assert store.take_stops("w") == []
    store.expire(6.0)
    assert job.state is JobState.CANCELLED
    assert store.take_stops("w") == ["j"]


def test_a_job_may_complete_before_its_late_cancel():
    store = a_store()
    job = running(store)
    store.cancel(job, 1.0, late_s=5.0)
    store.complete(job, b"1", 3.0)
    store.expire(10.0)
    assert job.state is JobState.COMPLETED


def test_cancelling_a_finished_job_changes_nothing():
    store = a_store()
    job = running(store)
    store.complete(job, b"1", 1.0)
    store.cancel(job, 2.0)
    assert (job.state, job.cancel_requested_s) == (JobState.COMPLETED, None)


def test_a_dead_workers_job_goes_ahead_of_the_queue_and_keeps_what_was_yielded():
    store = a_store()
    job = running(store, "first")
    submitted(store, "second")
    store.add_item(job, b"1")
    store.lose_worker(job, 5.0)
    assert (job.state, job.retries, store.retried_count) == (JobState.IN_QUEUE, 1, 1)
    assert store.take("other", 7.0) is job
    assert (job.dispatches, job.dispatched_s) == (2, 7.0)
    store.add_item(job, b"1")
    assert store.read(job) == [b"1", b"1"]
    assert not store.holds(job, "w")
    assert store.holds(job, "other")


def test_a_job_whose_workers_keep_dying_fails_as_recorded():
    store = a_store()
    job = running(store)
    store.lose_worker(job, 1.0)
    store.take("w", 2.0)
    store.lose_worker(job, 3.0)
    assert (job.state, job.error, job.retries) == (JobState.FAILED, "job timed out after 1 retries", 1)


def test_a_dead_workers_job_that_was_to_be_cancelled_is_not_dispatched_again():
    store = a_store()
    job = running(store)
    store.cancel(job, 1.0, late_s=60.0)
    store.lose_worker(job, 2.0)
    assert job.state is JobState.CANCELLED


def test_retry_begins_anew():
    store = a_store()
    job = running(store)
    store.add_item(job, b"1")
    store.fail(job, "boom", 1.0)
    store.retry(job, 20.0)
    assert (job.state, job.error, job.output, job.submitted_s, job.finished_s) == (
        JobState.IN_QUEUE,
        "",
        b"",
        20.0,
        None,
    )
    assert store.read(job) == []
    store.expire(35.0)
    assert store.find("j") is job
    assert store.take("w", 36.0) is job


def test_a_retried_job_remembers_no_cancel():
    store = a_store()
    job = running(store)
    store.cancel(job, 1.0, late_s=60.0)
    store.fail(job, "boom", 2.0)
    store.retry(job, 3.0)
    assert (job.dispatched_s, job.cancel_requested_s) == (None, None)
    store.take("w", 4.0)
    store.expire(90.0)
    assert job.state is JobState.IN_PROGRESS


@pytest.mark.parametrize("state", [JobState.IN_QUEUE, JobState.IN_PROGRESS, JobState.COMPLETED, JobState.CANCELLED])
def test_other_jobs_cannot_be_retried(state):
    store = a_store()
    job = submitted(store)
    if state is not JobState.IN_QUEUE:
        store.take("w", 0.0)
    if state is JobState.COMPLETED:
        store.complete(job, b"1", 1.0)
    if state is JobState.CANCELLED:
        store.cancel(job, 1.0)
    with pytest.raises(IllegalMoveError):
        store.retry(job, 2.0)
    assert job.state is state


def test_a_purge_removes_what_is_queued_and_nothing_else():
    store = a_store()
    busy = running(store, "busy")
    queued = [submitted(store, "a"), submitted(store, "b")]
    assert store.purge(1.0) == queued
    assert busy.state is JobState.IN_PROGRESS
    assert {job.state for job in queued} == {JobState.CANCELLED}
    assert store.purge(1.0) == []


def test_the_oldest_finished_job_makes_room_and_live_ones_never_do():
    store = a_store(jobs_kept_max=2)
    job = running(store, "done")
    submitted(store, "live")
    with pytest.raises(QueueFullError):
        submitted(store, "refused")
    store.complete(job, b"1", 1.0)
    submitted(store, "new")
    assert [kept.id for kept in store.all()] == ["live", "new"]


def test_clearing_deletes_every_job():
    store = a_store()
    jobs = [running(store, "a"), submitted(store, "b")]
    store.clear(1.0)
    assert all(job.is_deleted for job in jobs)
    assert store.all() == []
    assert store.expire(1e9) == []
