"""Count the jobs of other replicas at an endpoint, from their reports, to evaluate readings of /health. Pure.

A replica reports the number of its requests in flight at several moments before its report, so that one of them is
close to the time of a reading. The time of a report is known as an interval, by the store's clock.
"""

from collections.abc import Sequence

from gateway.endpoints.jobs_in_flight import AGE_S, InFlightCounts
from gateway.fairshare.replica_jobs import AbandonedElsewhere, TimedJobs

GONE_S = 60.0
"""Seconds for which a replica that is gone may have left jobs that no replica reports."""


class RemoteJobs:
    """Hold the last reports of all other replicas."""

    def __init__(self) -> None:
        self._reports: Sequence[TimedJobs] = ()
        self._silent = 0
        self._gone_at_s = float("-inf")

    def note(self, reports: Sequence[TimedJobs], *, silent: int = 0, now_s: float = 0.0) -> None:
        """Replace the reports; `silent` is the number of other replicas that have reported nothing yet."""
        if len(reports) + silent < len(self._reports) + self._silent:
            self._gone_at_s = now_s
        self._reports, self._silent = reports, silent

    def is_known(self, at_s: float) -> bool:
        """Return True if each replica has reported after this time."""
        return not self._silent and all(each.from_s >= at_s for each in self._reports)

    def jobs_in_flight(self, address: str, at_s: float, *, settled_at_s: float) -> InFlightCounts:
        """Return the number of their requests in flight at this time.

        A report made before `settled_at_s`, by which the ends of requests were seen, adds nothing to `sure`.
        """
        sure = every = 0
        for report in self._reports:
            if (jobs := report.jobs.get(address)) is None:
                continue
            if report.from_s >= settled_at_s:
                # The latest reported moment that is certainly before `at_s`: these requests existed at both times.
                sure += _at_age(jobs.sure, int((report.until_s - at_s) / AGE_S) + 1)
            every += _at_age(jobs.all, max(0, round((report.from_s - at_s) / AGE_S)))
        return InFlightCounts(sure=sure, all=every)

    def abandoned(self, address: str) -> list[AbandonedElsewhere]:
        """Return the abandoned attempts that they have reported."""
        return [each for report in self._reports if (jobs := report.jobs.get(address)) for each in jobs.abandoned]

    def abandoned_until_s(self, address: str) -> float:
        """Return the time until which they may have had such attempts; infinite if not all have reported."""
        if self._silent:
            return float("inf")
        told = (jobs.abandoned_until_s for report in self._reports if (jobs := report.jobs.get(address)))
        # The jobs of a replica that is gone may run until they are cancelled, or end by themselves.
        return max([self._gone_at_s + GONE_S, *(each for each in told if each is not None)])


def _at_age(counts: Sequence[int], age: int) -> int:
    return counts[age] if age < len(counts) else 0
