"""What the outcome of a submission says of the endpoint, by how it failed. Pure."""

from gateway.errors import (
    AnswerError,
    BodyTooLargeError,
    GatewayError,
    NoWorkerError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
    UpstreamTimeoutError,
    WorkerError,
)
from gateway.exchange.breaker import Evidence


def evidence_of(error: GatewayError | None, *, is_relay: bool) -> Evidence:
    """Return what a submission that ended with `error` says of its endpoint; `is_relay` tells of the OpenAI route.

    Only what happens before a request is sent, and what Runpod's job API itself says of the account, is surely no
    matter of content. On the OpenAI route a worker can answer with any status and any body, so there nothing is.

    A relayed request that is not answered waits for a worker, as far as is known; so it is no news of Runpod.

    What the gateway itself refused is no news of anybody: else a tenant whose requests are never sent could end the
    rest of an endpoint. A job too large is refused before its call (job_size.py), so that 413 is Runpod's word here.
    """
    match error:
        case None:
            return Evidence.SERVED
        case UnreachableError(is_local=True):
            return Evidence.NONE
        case UnreachableError(was_sent=True, reason="ReadTimeout") if is_relay:
            return Evidence.HEARD
        case UnreachableError(was_sent=False, status=None):
            return Evidence.CERTAIN
        case UnreachableError(is_outage=True):
            return Evidence.SUSPECT
        case UpstreamConfigError(is_certain=True):
            return Evidence.SUSPECT if is_relay else Evidence.CERTAIN
        case UpstreamConfigError():
            return Evidence.DOUBTFUL
        case UpstreamBusyError() | UnreachableError() | WorkerError() | AnswerError():
            return Evidence.HEARD
        case NoWorkerError() | UpstreamTimeoutError() | BodyTooLargeError():
            return Evidence.HEARD
        case _:
            return Evidence.NONE
