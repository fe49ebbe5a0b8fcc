"""Plan when a stopping process has to cut answers, so that it can cancel their jobs within Runpod's budget. Pure.

Runpod allows 100 cancels in 10 s for an endpoint. If all answers were cut at the end of the drain, the last jobs would
run until their ttl. So if there are too many answers, the first are cut earlier, as fast as their jobs can be
cancelled. The answers that have progressed furthest are kept the longest.
"""

import math

FLUSH_S = 10.0
"""Seconds that cancels always have after the drain. No answer is cut early that can be cancelled in this time."""
SLACK = 1.5
"""Factor by which cancels may take longer than the budget needs, because failed calls are retried."""
AHEAD_S = 1.0
"""Seconds of cancels that are kept in the queue, so that none of the budget is lost."""


def cuts_due(running: int, pending: int, *, cancels_per_s: float, left_s: float) -> int:
    """Return the number of answers of an endpoint that have to be cut now.

    Args:
        running: Number of answers whose jobs would have to be cancelled.
        pending: Number of cancels that are not confirmed yet.
        cancels_per_s: The endpoint's budget.
        left_s: Seconds until the end of the drain.
    """
    excess = running + pending - cancels_per_s * (left_s + FLUSH_S)
    ahead = math.ceil(cancels_per_s * AHEAD_S) - pending
    return max(0, min(running, math.ceil(excess), ahead))


def flush_s_max(pending: int, *, cancels_per_s: float) -> float:
    """Return the maximum seconds that the cancels of an endpoint may take after all answers are cut."""
    return FLUSH_S + SLACK * pending / cancels_per_s
