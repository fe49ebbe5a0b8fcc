import pytest

from gateway.emulator.job import TRANSITIONS, Job, Terms
from gateway.wire.runpod import JobState

TERMS = Terms(ttl_s=100.0, execution_timeout_s=50.0, retention_s=10.0)


def a_job(state: JobState) -> Job:
    return Job(id="j", input=b"{}", terms=TERMS, submitted_s=0.0, state=state)


def test_the_table_knows_every_state_that_a_job_can_reach():
    reachable = {JobState.IN_QUEUE}
    for _ in TRANSITIONS:
        reachable |= {after for before in reachable for after in TRANSITIONS[before]}
    assert reachable == set(TRANSITIONS)


def test_only_failed_and_timed_out_jobs_ever_leave_a_terminal_state():
    left = {(before, after) for before, afters in TRANSITIONS.items() if before.is_terminal for after in afters}
    assert left == {(JobState.FAILED, JobState.IN_QUEUE), (JobState.TIMED_OUT, JobState.IN_QUEUE)}


@pytest.mark.parametrize("state", list(TRANSITIONS))
def test_a_deleted_job_is_over_in_every_state(state):
    job = a_job(state)
    assert job.is_over is state.is_terminal
    job.is_deleted = True
    assert job.is_over


def test_jobs_do_not_share_their_unread_items():
    one, other = a_job(JobState.IN_PROGRESS), a_job(JobState.IN_PROGRESS)
    one.unread.append(b"x")
    assert other.unread == []
