"""Classify the outcome of a submission as evidence about the endpoint. Pure."""

from gateway.endpoints.circuit_breaker import Evidence
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


def evidence_of(error: GatewayError | None, *, is_relay: bool) -> Evidence:
    """Return what a submission that ended with `error` shows about its endpoint; `is_relay` means the OpenAI route.

    Only failures before a request is sent, and replies of Runpod's job API about the account, are certain not to depend
    on the request's content. On the OpenAI route a worker can answer with any status and any body, so there only the
    former are.

    A relayed request without an answer is assumed to wait for a worker, so it shows no outage of Runpod.

    A refusal by the gateway itself shows nothing: otherwise a tenant whose requests are never sent could end the pause
    of an endpoint. A job that is too large is refused before its call (job_size.py), so a 413 here comes from Runpod.
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
