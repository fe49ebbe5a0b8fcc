import anyio

from gateway.emulator.endpoint import Endpoint
from gateway.emulator.endpoints import Endpoints
from gateway.emulator.faults import Faults
from gateway.emulator.settings import EmulatorSettings
from gateway.wire.runpod import JobPolicy, JobState
from tests.emulator.support import HandClock


class Staff:
    """Notes who works where."""

    def __init__(self) -> None:
        self.hired: list[str] = []
        self.left: list[str] = []

    async def __call__(self, endpoint: Endpoint) -> None:
        self.hired.append(endpoint.id)
        try:
            await anyio.sleep_forever()
        finally:
            self.left.append(endpoint.id)


def endpoints(staff: Staff, clock: HandClock | None = None, **settings) -> Endpoints:
    return Endpoints(EmulatorSettings(**settings), clock=clock or HandClock(), staff=staff)


async def test_an_endpoint_is_made_on_first_use_and_staffed_inside_the_context():
    staff = Staff()
    ours = endpoints(staff)
    early = ours.get("early")
    with anyio.fail_after(5):
        async with ours:
            assert ours.get("early") is early
            ours.get("late")
            await anyio.wait_all_tasks_blocked()
            assert staff.hired == ["early", "late"]
    assert sorted(staff.left) == ["early", "late"]
    assert [endpoint.id for endpoint in ours.all()] == ["early", "late"]


async def test_there_are_no_more_than_allowed():
    ours = endpoints(Staff(), endpoints_max=1)
    assert ours.get("a") is not None
    assert ours.get("b") is None
    assert ours.get("a") is not None


async def test_time_passes_without_calls():
    clock = HandClock()
    with anyio.fail_after(5):
        async with endpoints(Staff(), clock) as ours:
            endpoint = ours.get("ep")
            job = endpoint.submit(b"{}", policy=JobPolicy(execution_timeout=5_000))
            endpoint.take("w")
            clock.s += 5
            await endpoint.change(job)
            assert job.state is JobState.FAILED


async def test_silent_workers_are_noticed_without_calls():
    clock = HandClock()
    with anyio.fail_after(5):
        async with endpoints(Staff(), clock, worker_lost_s=1.0) as ours:
            endpoint = ours.get("ep")
            endpoint.hear_of("w")
            job = endpoint.submit(b"{}")
            endpoint.take("w")
            clock.s += 2
            await endpoint.change(job)
            assert (job.state, job.retries) == (JobState.IN_QUEUE, 1)


async def test_a_reset_forgets_endpoints_and_faults_and_lets_go_of_who_waits():
    staff = Staff()
    with anyio.fail_after(5):
        async with endpoints(staff, faults=Faults(cold_start_s=1.0)) as ours:
            endpoint = ours.get("ep")
            job = endpoint.submit(b"{}")
            ours.plan.replace(Faults(cold_start_s=9.0))
            async with anyio.create_task_group() as group:
                group.start_soon(endpoint.change, job)
                await anyio.wait_all_tasks_blocked()
                ours.reset()
            assert job.is_deleted
            assert staff.left == ["ep"]
            assert ours.all() == []
            assert ours.plan.faults == Faults(cold_start_s=1.0)
            assert ours.get("ep") is not endpoint
