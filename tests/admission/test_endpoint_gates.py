from gateway.admission.capacity import StaticCapacities
from gateway.admission.endpoint_gates import CallBudgets, EndpointGates
from gateway.domain import Endpoint, Limit, Operation
from tests.factories import endpoint, tenant
from tests.virtual_time import LoopClock

ALONE = StaticCapacities()


def gates_of(made: Endpoint) -> EndpointGates:
    return EndpointGates(made, LoopClock(), budgets=CallBudgets(made, LoopClock(), ALONE), capacities=ALONE)


async def test_every_operation_has_a_budget_of_its_own() -> None:
    gates = gates_of(endpoint(max_in_flight=1))
    assert set(gates.calls) == set(Operation)
    async with (
        gates.work.permit(tenant(name="a"), wait_s_max=0),
        gates.call(Operation.RUN).permit(tenant(name="a"), wait_s_max=0),
    ):
        assert gates.work.used == 1
        assert gates.call(Operation.CANCEL).used == 0


async def test_the_file_overrides_the_published_table() -> None:
    one = {Operation.RUN: Limit(per_10s=5, concurrent=1)}
    gates = gates_of(endpoint(limits=one))
    async with gates.call(Operation.RUN).permit(tenant(name="a"), wait_s_max=0):
        assert gates.call(Operation.RUN).used == 1
    async with gates.call(Operation.STREAM).permit(tenant(name="a"), wait_s_max=0):
        assert gates.call(Operation.STREAM).used < 0.01
