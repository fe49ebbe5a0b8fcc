import pytest
from msgspec import Raw

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import BodyTooLargeError
from gateway.exchange.job_size import AROUND_BYTES, check_fields, fitting
from gateway.jobs.job_policy import job_policy
from gateway.wire.runpod import submission
from tests.factories import endpoint


def test_what_fits_is_never_refused_with_what_is_around_it() -> None:
    policy = job_policy(endpoint(execution_timeout_s=1e9, cold_start_timeout_s=1e9), client_s=None)
    assert sum(map(len, submission((), policy))) <= AROUND_BYTES


def test_an_input_is_measured_in_all_its_parts() -> None:
    parts = (b"{", bytes(JOB_BODY_BYTES_MAX - AROUND_BYTES - 2), b"}")
    assert fitting(parts) is parts
    with pytest.raises(BodyTooLargeError):
        fitting((*parts, b" "))


def test_a_request_is_measured_by_its_values() -> None:
    half = Raw(bytes(JOB_BODY_BYTES_MAX // 2 - AROUND_BYTES))
    check_fields({"messages": half, "tools": half})
    with pytest.raises(BodyTooLargeError):
        check_fields({"messages": half, "tools": half, "stop": Raw(bytes(2 * AROUND_BYTES))})
