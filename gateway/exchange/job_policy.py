"""How long Runpod keeps a job alive: the backstop for when the gateway itself is gone.

Source: the Runpod documentation, "Send API requests", execution policies: `ttl` counts from the submission and deletes
the job, `executionTimeout` counts while it runs.
"""

from gateway.domain import Endpoint
from gateway.wire.runpod import JobPolicy

SLACK_S = 60.0
"""What polls, and the cancel of a job that is too late, may take beyond our own budgets."""
CLIENT_SLACK_S = 15.0
"""The same after the client's own deadline. An execution that times out stops its worker, and the next request finds it
cold: our cancel, which does not, has to come first."""
_EXECUTION_S_MIN, _TTL_S_MIN, _S_MAX = 5.0, 10.0, 7 * 86400.0


def job_policy(endpoint: Endpoint, *, client_s: float | None) -> JobPolicy:
    """The policy of a job whose client waits for `client_s` seconds more; None for one that shows no end."""
    client_s = _S_MAX if client_s is None else client_s + CLIENT_SLACK_S
    execution_s = _within(min(endpoint.execution_timeout_s, client_s), _EXECUTION_S_MIN)
    ttl_s = _within(min(endpoint.cold_start_timeout_s + execution_s + SLACK_S, client_s), _TTL_S_MIN)
    return JobPolicy(execution_timeout=int(execution_s * 1000), ttl=int(ttl_s * 1000))


def _within(seconds: float, seconds_min: float) -> float:
    return min(max(seconds, seconds_min), _S_MAX)
