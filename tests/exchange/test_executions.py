import pytest

from gateway.exchange.executions import Executions
from tests.factories import tenant


def test_the_mean_follows_what_jobs_take_of_late() -> None:
    executions = Executions()
    assert executions.mean_s(tenant(), "chat") is None
    executions.note(tenant(), "chat", 10.0)
    assert executions.mean_s(tenant(), "chat") == 10.0
    for _ in range(60):
        executions.note(tenant(), "chat", 20.0)
    assert executions.mean_s(tenant(), "chat") == pytest.approx(20.0, rel=0.01)
    assert executions.mean_s(tenant(), "other") is None
    assert executions.mean_s(tenant(name="b"), "chat") is None
