"""Plan when a stopping process has to cut answers, so that Runpod's budget allows it to cancel their jobs. Pure.

Runpod takes 100 cancels in 10 s for an endpoint. If all answers were cut at the end of the drain, the jobs of the last
ones would run until their ttl. So where there are too many of them, the first are cut earlier, as fast as their jobs
can be cancelled; the answers that have come furthest are kept the longest.
"""

import math

FLUSH_S = 10.0
"""The time that cancels have after the drain in any case. No answer is cut early that can be cancelled in this time."""
SLACK = 1.5
"""The factor by which cancels may take longer than the budget needs, because calls fail and are made again."""
AHEAD_S = 1.0
"""The time for which cancels have to wait in the queue, so that none of the budget is lost."""


def cuts_due(running: int, pending: int, *, cancels_per_s: float, left_s: float) -> int:
    """Return how many answers of an endpoint have to be cut now.

    Args:
        running: Answers whose jobs would have to be cancelled.
        pending: Cancels that are not confirmed yet.
        cancels_per_s: The endpoint's budget.
        left_s: Seconds until the end of the drain.
    """
    excess = running + pending - cancels_per_s * (left_s + FLUSH_S)
    ahead = math.ceil(cancels_per_s * AHEAD_S) - pending
    return max(0, min(running, math.ceil(excess), ahead))


def flush_s_max(pending: int, *, cancels_per_s: float) -> float:
    """Return how long the cancels of an endpoint may take once all answers are cut, in seconds."""
    return FLUSH_S + SLACK * pending / cancels_per_s
