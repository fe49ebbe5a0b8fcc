"""What tests with servers are given: as much time as a busy machine takes, and ports that nobody takes from them."""

import inspect

import httpx
import pytest

from tests import processes
from tests.waiting import BOUND_S


async def test_calls_that_name_no_timeout_wait_as_long_as_a_busy_machine_takes() -> None:
    patient = httpx.Timeout(BOUND_S)
    assert httpx.Client().timeout == patient
    async with httpx.AsyncClient() as client:
        assert client.timeout == patient
    for call in (httpx.get, httpx.post, httpx.stream):
        assert inspect.signature(call).parameters["timeout"].default == patient


@pytest.mark.server
def test_ports_for_servers_are_none_that_connections_get_and_each_is_given_once() -> None:
    ports = [processes.free_port() for _ in range(100)]
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(processes.PORTS)
    assert max(processes.PORTS) < 32_768
