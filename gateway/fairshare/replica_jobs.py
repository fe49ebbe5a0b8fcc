"""What replicas tell each other of the jobs they have at Runpod, at times of the store's clock. Pure."""

from collections.abc import Callable, Iterable, Sequence

import msgspec


class AbandonedElsewhere(msgspec.Struct, frozen=True, array_like=True):
    """Describe an attempt that may run although its request is over."""

    since_s: float
    """From when on readings of /health say something of it."""
    expected_at: float
    """When it is expected to end, in the Unix time of its replica. It is not moved to other clocks: all replicas sort
    by the same numbers."""


class ReplicaJobs(msgspec.Struct, frozen=True, array_like=True):
    """Describe the jobs of one replica at one Runpod endpoint, as `RequestsUnderWay.recent` counts them."""

    sure: list[int]
    """How many requests under way Runpod surely had, now and at moments before; of those that are there now as well."""
    all: list[int]
    """How many requests there were under way at the same times."""
    abandoned: list[AbandonedElsewhere] = []
    abandoned_until_s: float | None = None
    """Until when there may have been abandoned ones."""


class TimedJobs(msgspec.Struct, frozen=True, array_like=True):
    """Describe the jobs of one replica, by the address of the endpoint, at a time of one clock."""

    from_s: float
    until_s: float
    """The report was made between these times."""
    jobs: dict[str, ReplicaJobs]

    def moved(self, earliest_s: float, latest_s: float) -> "TimedJobs":
        """Return the same by another clock, which is ahead by at least and at most so many seconds."""
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
    """Tell other replicas of the jobs here, and hear of theirs.

    Times go by the store's clock. By how much it is ahead of the monotonic clock of this process is known within the
    time that a heartbeat takes: the store's time in an answer lies between its sending and its arrival.
    """

    def __init__(self) -> None:
        self._jobs: Callable[[], dict[str, ReplicaJobs]] = dict
        self._note: Callable[[Sequence[TimedJobs], int], None] = lambda _reports, _silent: None
        self._ahead: tuple[float, float] | None = None
        """At least and at most."""

    def watch(
        self, jobs: Callable[[], dict[str, ReplicaJobs]], note_elsewhere: Callable[[Sequence[TimedJobs], int], None]
    ) -> None:
        """Tell of these `jobs`, and `note_elsewhere` of those of other replicas, and how many have told nothing yet.

        While the store is not heard, that is at least one.
        """
        self._jobs, self._note = jobs, note_elsewhere
        self.lost()

    def lost(self) -> None:
        """Note that it is not known any more what other replicas do."""
        self._note((), 1)

    def told(self, now_s: float) -> TimedJobs | None:
        """Return the jobs here, in the store's time; None as long as that is not known."""
        return None if self._ahead is None else TimedJobs(now_s, now_s, self._jobs()).moved(*self._ahead)

    def heard(
        self, reports: Iterable[TimedJobs | None], *, store_s: float, sent_at_s: float, heard_at_s: float
    ) -> None:
        """Note what other replicas told, by an answer of the store, which had this time."""
        earliest_s, latest_s = self._ahead = store_s - heard_at_s, store_s - sent_at_s
        all_of_them = list(reports)
        told = [each.moved(-latest_s, -earliest_s) for each in all_of_them if each is not None]
        self._note(told, len(all_of_them) - len(told))
