"""Determine how long Runpod keeps a job alive, and how long to wait before a failed call for it is repeated.

A job ends by itself, even if the gateway does not end it.

Source: the Runpod documentation, "Send API requests", execution policies: `ttl` counts from the submission and deletes
the job, `executionTimeout` counts while it runs.
"""

import zlib

from gateway.domain import Endpoint
from gateway.wire.runpod import JobPolicy

SLACK_S = 60.0
"""Seconds that polls, and the cancel of a job that timed out, may take beyond the gateway's own timeouts."""
CLIENT_SLACK_S = 15.0
"""The same after the client's own deadline. An execution that times out stops its worker, so the next request finds it
cold; the gateway's cancel, which does not stop it, has to come first."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.5, 4.0
_EXECUTION_S_MIN, _TTL_S_MIN, _S_MAX = 5.0, 10.0, 7 * 86400.0


def job_policy(endpoint: Endpoint, *, client_s: float | None) -> JobPolicy:
    """Return the policy of a job; its client waits for `client_s` more seconds, or for an unknown time if None."""
    client_s = _S_MAX if client_s is None else client_s + CLIENT_SLACK_S
    execution_s = _within(min(endpoint.execution_timeout_s, client_s), _EXECUTION_S_MIN)
    ttl_s = _within(min(endpoint.cold_start_timeout_s + execution_s + SLACK_S, client_s), _TTL_S_MIN)
    return JobPolicy(execution_timeout=int(execution_s * 1000), ttl=int(ttl_s * 1000))


def retry_pause_s(failed_calls: int, retry_after_s: float | None, *, spread_by: str) -> float:
    """Return the seconds before a call is repeated, after this many consecutive failures.

    The pause doubles up to PAUSE_S_MAX, unless Runpod asked for another one. It varies by up to a quarter with the text
    `spread_by`, so that jobs that failed together are not retried together.
    """
    pause_s = retry_after_s or min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** (failed_calls - 1))
    return pause_s * (0.75 + 0.5 * (zlib.crc32(spread_by.encode()) % 1000) / 1000)


def _within(seconds: float, seconds_min: float) -> float:
    return min(max(seconds, seconds_min), _S_MAX)
