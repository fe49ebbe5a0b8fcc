"""Know how many jobs of other replicas an endpoint has, as far as they tell, to compare readings of /health. Pure.

A replica tells how many requests it had under way at several moments before its report, so that one of them is about
the time of a reading. It tells when it is sure to have been made, by the store's clock.
"""

from collections.abc import Sequence

from gateway.exchange.under_way import AGE_S, UnderWay
from gateway.fairshare.replica_jobs import AbandonedElsewhere, TimedJobs

GONE_S = 60.0
"""Seconds for which a replica that is gone may have left jobs that no replica reports."""


class JobsElsewhere:
    """The last reports of all other replicas."""

    def __init__(self) -> None:
        self._reports: Sequence[TimedJobs] = ()
        self._silent = 0
        self._gone_at_s = float("-inf")

    def note(self, reports: Sequence[TimedJobs], *, silent: int = 0, now_s: float = 0.0) -> None:
        """Keep these reports instead of those before; `silent` other replicas have told nothing yet."""
        if len(reports) + silent < len(self._reports) + self._silent:
            self._gone_at_s = now_s
        self._reports, self._silent = reports, silent

    def is_known(self, at_s: float) -> bool:
        """Tell whether each has reported after this time."""
        return not self._silent and all(each.from_s >= at_s for each in self._reports)

    def under_way(self, address: str, at_s: float, *, settled_at_s: float) -> UnderWay:
        """Return how many requests they had under way at this time.

        Of a report made before `settled_at_s`, by when the ends of requests were seen, none is sure.
        """
        sure = every = 0
        for report in self._reports:
            if (jobs := report.jobs.get(address)) is None:
                continue
            if report.from_s >= settled_at_s:
                # At the first of the moments that surely lies before, as those were there at both.
                sure += _at_age(jobs.sure, int((report.until_s - at_s) / AGE_S) + 1)
            every += _at_age(jobs.all, max(0, round((report.from_s - at_s) / AGE_S)))
        return UnderWay(sure=sure, all=every)

    def abandoned(self, address: str) -> list[AbandonedElsewhere]:
        """Return the attempts that they know to be abandoned."""
        return [each for report in self._reports if (jobs := report.jobs.get(address)) for each in jobs.abandoned]

    def abandoned_until_s(self, address: str) -> float:
        """Return until when they may have had such attempts; infinite where not all have told."""
        if self._silent:
            return float("inf")
        told = (jobs.abandoned_until_s for report in self._reports if (jobs := report.jobs.get(address)))
        # The jobs of a replica that is gone may run until they are cancelled, or end by themselves.
        return max([self._gone_at_s + GONE_S, *(each for each in told if each is not None)])


def _at_age(counts: Sequence[int], age: int) -> int:
    return counts[age] if age < len(counts) else 0
