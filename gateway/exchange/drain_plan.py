"""When a process that stops has to cut answers, so that Runpod's budget lets it cancel all of their jobs. Pure.

Runpod takes 100 cancels in 10 s for an endpoint. Were all answers cut at the end of the drain, the jobs of the last of
them would run until their ttl. So where more answers run than can be cancelled by the end, the first are cut before it,
as fast as their jobs can be cancelled; those that have come furthest are kept the longest.
"""

import math

FLUSH_S = 10.0
"""How long cancels may go on after the drain in any case; before it, nothing is cut that they have time for then."""
SLACK = 1.5
"""How much longer than the budget needs they may take: calls fail and are made again."""
AHEAD_S = 1.0
"""For so long cancels have to be there, or some of the budget is lost."""


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
