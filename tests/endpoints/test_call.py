import pytest

from gateway.endpoints.call import outcome_of_call
from gateway.errors import GatewayError, JobExpiredError, UnreachableError, UpstreamBusyError
from gateway.events import CallOutcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UpstreamBusyError(retry_after_s=None), CallOutcome.BUSY),
        (JobExpiredError(), CallOutcome.GONE),
        (UnreachableError("ReadError", was_sent=True), CallOutcome.LOST),
        (UnreachableError("ConnectError", was_sent=False), CallOutcome.FAILED),
        (UnreachableError("unexpected status", was_sent=True, status=500), CallOutcome.FAILED),
    ],
)
def test_a_failed_call_is_counted_by_what_became_of_it(error: GatewayError, outcome: CallOutcome) -> None:
    assert outcome_of_call(error) is outcome
