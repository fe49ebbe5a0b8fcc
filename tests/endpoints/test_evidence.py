import pytest

from gateway.domain import EndpointState
from gateway.endpoints.circuit_breaker import Evidence
from gateway.endpoints.evidence import evidence_of
from gateway.errors import (
    AnswersFullError,
    BodyTooLargeError,
    ClientDeadlineError,
    GatewayError,
    JobFailedError,
    NoWorkerError,
    OutputLostError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
    UpstreamTimeoutError,
    WorkerError,
)

SERVED, HEARD, CERTAIN, SUSPECT = Evidence.SERVED, Evidence.HEARD, Evidence.CERTAIN, Evidence.SUSPECT


def local() -> UnreachableError:
    error = UnreachableError("ConnectError", was_sent=False)
    error.is_local = True
    return error


@pytest.mark.parametrize(
    ("error", "by_job_api", "by_relay"),
    [
        (None, SERVED, SERVED),
        (local(), Evidence.NONE, Evidence.NONE),
        (UnreachableError("ConnectError", was_sent=False), CERTAIN, CERTAIN),
        (UnreachableError("ReadTimeout", was_sent=True), SUSPECT, HEARD),
        (UnreachableError("ReadError", was_sent=True), SUSPECT, SUSPECT),
        (UnreachableError("unexpected status", was_sent=True, status=502), SUSPECT, SUSPECT),
        (UnreachableError("unexpected status", was_sent=True, status=524), SUSPECT, SUSPECT),
        (UnreachableError("unexpected status", was_sent=True, status=500), HEARD, HEARD),
        (UnreachableError("unexpected status", was_sent=False, status=302), HEARD, HEARD),
        (UpstreamConfigError(status=401), CERTAIN, SUSPECT),
        (UpstreamConfigError(status=403, is_certain=False), Evidence.DOUBTFUL, Evidence.DOUBTFUL),
        (UpstreamBusyError(retry_after_s=None), HEARD, HEARD),
        (WorkerError(status=502, message="", type_=""), HEARD, HEARD),
        (JobFailedError("boom"), HEARD, HEARD),
        (NoWorkerError(waited_s=1.0, state=EndpointState.ASLEEP), HEARD, HEARD),
        (UpstreamTimeoutError(), HEARD, HEARD),
        (OutputLostError("cut"), HEARD, HEARD),
        (BodyTooLargeError(1), HEARD, HEARD),
        (AnswersFullError(retry_after_s=1), Evidence.NONE, Evidence.NONE),
        (ClientDeadlineError(waited_s=1.0), Evidence.NONE, Evidence.NONE),
    ],
)
def test_only_what_no_content_can_cause_is_certain(
    error: GatewayError | None, by_job_api: Evidence, by_relay: Evidence
) -> None:
    assert evidence_of(error, is_relay=False) is by_job_api
    assert evidence_of(error, is_relay=True) is by_relay
