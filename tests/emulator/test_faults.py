import msgspec
import pytest

from gateway.emulator.faults import FailWith, FaultPlan, Faults


def test_nothing_goes_wrong_by_default():
    plan = FaultPlan(Faults())
    assert plan.refusal("run", is_job_api=True) is None
    assert not plan.loses("stream")
    assert plan.failure() is FailWith.NOTHING


def test_refusals_are_counted_and_spare_the_worker_api():
    plan = FaultPlan(Faults(refused_calls=2, refused_status=503))
    assert plan.refusal("job-take", is_job_api=False) is None
    assert [plan.refusal("run", is_job_api=True) for _ in range(3)] == [503, 503, None]


def test_refusals_can_name_their_operations():
    plan = FaultPlan(Faults(refused_calls=1, refused_operations=("job-done",)))
    assert plan.refusal("run", is_job_api=True) is None
    assert plan.refusal("job-done", is_job_api=False) == 429


def test_replies_are_lost_after_those_that_pass():
    plan = FaultPlan(Faults(lost_replies=2, lost_after=1))
    assert not plan.loses("run")
    assert [plan.loses("stream") for _ in range(4)] == [False, True, True, False]


def test_a_number_of_jobs_fails_and_zero_means_all():
    plan = FaultPlan(Faults(fail_with=FailWith.HANDLER, fail_jobs=1))
    assert [plan.failure() for _ in range(2)] == [FailWith.HANDLER, FailWith.NOTHING]
    plan.replace(Faults(fail_with=FailWith.HANDLER))
    assert [plan.failure() for _ in range(3)] == [FailWith.HANDLER] * 3


def test_replacing_the_faults_starts_the_counts_anew():
    plan = FaultPlan(Faults(refused_calls=1))
    plan.refusal("run", is_job_api=True)
    plan.replace(Faults(refused_calls=1))
    assert plan.refusal("run", is_job_api=True) == 429


def test_a_misspelt_fault_is_refused():
    with pytest.raises(msgspec.ValidationError, match="cold_starts"):
        msgspec.json.decode(b'{"cold_starts": 1}', type=Faults)
