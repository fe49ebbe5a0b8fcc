"""Hold the seats of attempts that may run on after their requests ended, and that have no id."""

from gateway.admission.ref_counted_hold import Release
from gateway.domain import Attempt
from gateway.endpoints.gpu_time import AttemptTime
from gateway.endpoints.upstream import Upstream
from gateway.endpoints.worker_state import Activity


def abandon_relay(upstream: Upstream, activity: Activity, time: AttemptTime, release: Release) -> None:
    """Hold the seat of a relayed request whose answer is not read to its end.

    `release` returns the seat when the attempt has ended. Until then its tenant is charged for it.
    """

    def end(at_s: float) -> None:
        upstream.relays.close(time)
        time.ended(at_s=at_s)
        release()

    upstream.relays.leave(time)
    endpoint, tenant, began_at_s = upstream.endpoint, activity.tenant, activity.began_at_s
    usual_s = upstream.relay_means.mean_s(tenant, endpoint.name)
    wait_s_max = 0.0 if activity.has_output else endpoint.cold_start_timeout_s
    since_s = began_at_s if activity.taken_at_s is None else activity.taken_at_s
    until_s = since_s + wait_s_max + endpoint.execution_timeout_s
    upstream.abandoned.add(
        tenant,
        sent_at_s=began_at_s,
        now_s=upstream.now_s,
        expected_s=until_s if usual_s is None else min(until_s, began_at_s + usual_s),
        until_s=until_s,
        end=end,
    )


def abandon_submission(upstream: Upstream, attempt: Attempt, release: Release, *, ttl_s: float) -> None:
    """Hold the seat of a job that Runpod may have accepted, and whose id is unknown."""
    upstream.gpu.lost(attempt)
    now_s, until_s = upstream.now_s, upstream.now_s + ttl_s
    upstream.abandoned.add(
        attempt.tenant, sent_at_s=now_s, now_s=now_s, expected_s=until_s, until_s=until_s, end=lambda _at_s: release()
    )
