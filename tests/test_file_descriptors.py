"""How the descriptors of a process are shared out; a process that has few is told in tests/e2e/test_strangers.py."""

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection_limits import TURNED_AWAY_MAX, ClientLimits
from gateway.domain import Limit, Operation
from gateway.file_descriptors import (
    OPERATOR_CONNECTIONS_MAX,
    OWN_DESCRIPTORS,
    RESERVE_MIN,
    DescriptorBudget,
    limit_at_start,
    reserve_of,
    share_out,
)
from tests.factories import endpoint

ASKED = ClientLimits(head_bytes_max=1024, head_s=1, read_s=1, write_s=1, connections_max=10_000)


def room(descriptors: int, *, reserve: int = 152, has_metrics_port: bool = False) -> DescriptorBudget:
    return share_out(ASKED, descriptors=descriptors, reserve=reserve, has_metrics_port=has_metrics_port)


def test_the_reserve_is_what_calls_and_the_process_need() -> None:
    first = endpoint(max_in_flight=64)
    second = endpoint(max_in_flight=100, limits={Operation.CANCEL: Limit(per_10s=1, concurrent=1)})
    assert reserve_of([first, second], descriptors=1_000_000) == OWN_DESCRIPTORS + 64 + 24 + 100 + 5


def test_the_reserve_has_a_least_and_a_most() -> None:
    assert reserve_of([endpoint(max_in_flight=1)], descriptors=1_000_000) == RESERVE_MIN
    assert reserve_of([endpoint(max_in_flight=1000)], descriptors=1024) == 512


def test_with_enough_descriptors_nothing_is_limited() -> None:
    found = room(20_000, has_metrics_port=True)
    assert not found.is_limited
    assert (found.clients.connections_max, found.clients.turned_away_max) == (10_000, TURNED_AWAY_MAX)
    assert found.operators.connections_max == OPERATOR_CONNECTIONS_MAX


def test_with_few_clients_have_what_the_reserve_leaves() -> None:
    found = room(1024)
    assert found.is_limited
    assert (found.clients.connections_max, found.clients.turned_away_max) == (763, 109)


def test_fewer_are_told_that_there_is_no_room_before_fewer_are_let_in() -> None:
    found = room(152 + 10_000 + 500)
    assert found.is_limited
    found = room(152 + 10_000 + 1300)
    assert not found.is_limited
    found = share_out(
        ClientLimits(head_bytes_max=1024, head_s=1, read_s=1, write_s=1, connections_max=60),
        descriptors=1024,
        reserve=152,
        has_metrics_port=False,
    )
    assert (found.clients.connections_max, found.clients.turned_away_max, found.is_limited) == (60, 812, False)


@given(descriptors=st.integers(32, 100_000), in_flight=st.integers(1, 20_000), has_metrics_port=st.booleans())
def test_what_is_shared_out_is_never_more_than_there_is(
    descriptors: int, in_flight: int, has_metrics_port: bool
) -> None:
    reserve = reserve_of([endpoint(max_in_flight=in_flight)], descriptors=descriptors)
    found = room(descriptors, reserve=reserve, has_metrics_port=has_metrics_port)
    listeners = [found.clients, found.operators] if has_metrics_port else [found.clients]
    assert sum(each.connections_max + each.turned_away_max for each in listeners) + reserve <= descriptors
    assert all(each.connections_max >= 1 and each.turned_away_max >= 1 for each in listeners)


def test_the_limit_at_the_start_is_the_hard_one() -> None:
    assert 0 < limit_at_start() <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.mark.server
@pytest.mark.parametrize(("soft", "hard"), [(100, 300), (300, 300)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    code = (
        "import resource; from gateway.file_descriptors import limit_at_start, raise_limit\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "print(limit_at_start(), raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(hard)] * 4
