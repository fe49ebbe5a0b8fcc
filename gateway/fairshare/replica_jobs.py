"""Exchange counts of the jobs at Runpod among replicas, at times of the store's clock. Pure."""

from collections.abc import Callable, Iterable, Sequence

import msgspec


class AbandonedElsewhere(msgspec.Struct, frozen=True, array_like=True):
    """Describe an attempt that may still run although its request is over."""

    since_s: float
    """Time from which readings of /health show whether it still runs."""
    expected_at: float
    """Unix time, by the clock of its own replica, at which it is expected to end. It is not converted to other clocks:
    all replicas sort by the same numbers."""


class ReplicaJobs(msgspec.Struct, frozen=True, array_like=True):
    """Describe the jobs of one replica at one Runpod endpoint, as `JobsInFlight.recent` counts them."""

    sure: list[int]
    """Number of requests in flight that Runpod certainly had, now and at earlier moments; counts only requests that are
    in flight now."""
    all: list[int]
    """Number of all requests in flight at the same moments."""
    abandoned: list[AbandonedElsewhere] = []
    abandoned_until_s: float | None = None
    """Time until which there may have been abandoned attempts."""


class TimedJobs(msgspec.Struct, frozen=True, array_like=True):
    """Describe the jobs of one replica, by the address of the endpoint, at a time of one clock."""

    from_s: float
    until_s: float
    """The report was made between `from_s` and `until_s`."""
    jobs: dict[str, ReplicaJobs]

    def moved(self, earliest_s: float, latest_s: float) -> "TimedJobs":
        """Return the same jobs by another clock.

        The other clock is ahead by at least `earliest_s` and at most `latest_s` seconds.
        """
        jobs = {
            address: ReplicaJobs(
                each.sure,
                each.all,
                [AbandonedElsewhere(found.since_s + latest_s, found.expected_at) for found in each.abandoned],
                None if each.abandoned_until_s is None else each.abandoned_until_s + latest_s,
            )
            for address, each in self.jobs.items()
        }
        return TimedJobs(self.from_s + earliest_s, self.until_s + latest_s, jobs)


class JobsAmongReplicas:
    """Report the local jobs to other replicas, and receive their reports.

    Times are those of the store's clock. Its offset to the monotonic clock of this process is known to within the
    duration of a heartbeat: the store reads its time between the sending of the heartbeat and the arrival of the
    answer.
    """

    def __init__(self) -> None:
        self._jobs: Callable[[], dict[str, ReplicaJobs]] = dict
        self._note: Callable[[Sequence[TimedJobs], int], None] = lambda _reports, _silent: None
        self._ahead: tuple[float, float] | None = None
        """Minimum and maximum offset of the store's clock in seconds; None while it is unknown."""

    def watch(
        self, jobs: Callable[[], dict[str, ReplicaJobs]], note_remote_usage: Callable[[Sequence[TimedJobs], int], None]
    ) -> None:
        """Set the source of the local `jobs`, and the callback for the jobs of other replicas.

        `note_remote_usage` receives their reports, and the number of replicas that have not reported jobs yet. That
        number is 1 without contact to the store.
        """
        self._jobs, self._note = jobs, note_remote_usage
        self.disconnected()

    def disconnected(self) -> None:
        """Report that the jobs of other replicas are unknown."""
        self._note((), 1)

    def report(self, now_s: float) -> TimedJobs | None:
        """Return the local jobs at times of the store's clock; None while its offset is unknown."""
        return None if self._ahead is None else TimedJobs(now_s, now_s, self._jobs()).moved(*self._ahead)

    def receive(
        self, reports: Iterable[TimedJobs | None], *, store_s: float, sent_at_s: float, received_at_s: float
    ) -> None:
        """Pass on the reports of other replicas from an answer of the store.

        `store_s` is the store's time in the answer. The heartbeat left at `sent_at_s` and the answer came at
        `received_at_s`, both by the local clock.
        """
        earliest_s, latest_s = self._ahead = store_s - received_at_s, store_s - sent_at_s
        all_of_them = list(reports)
        known = [each.moved(-latest_s, -earliest_s) for each in all_of_them if each is not None]
        self._note(known, len(all_of_them) - len(known))
