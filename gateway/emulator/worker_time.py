"""Account for the billed time of one endpoint's workers, by kind and by job. Pure; takes now_s.

The independent reference for a gateway's own count of GPU time. Runpod bills a worker from its start until it has
fully stopped: start, execution, idle timeout (Runpod docs, serverless/pricing). The table of worker states (docs,
serverless/workers/overview) says that `initializing` is not billed; the two pages disagree, so each kind of time is
counted by itself.

Every reading of the clock is rounded once to a whole nanosecond, and all sums are integers: the kinds of a worker's
time add up to the time between its start and its stop exactly.
"""

from typing import Literal

import msgspec

from gateway.emulator.job import Job, Occupancy

NS_PER_S = 1_000_000_000
_SHARE_BITS = 20
"""Fractional bits of a nanosecond that are kept while the even shares are summed up."""

Condition = Literal["off", "starting", "up"]
_Kind = Literal["starting", "busy", "idle"]


def to_ns(seconds: float) -> int:
    """Round seconds to whole nanoseconds."""
    return round(seconds * NS_PER_S)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the worker time of one endpoint, summed over its workers, in nanoseconds."""

    starting_ns: int
    """Time from a worker's start until it can take a job, unless it has one."""
    busy_ns: int
    """Time with at least one job; concurrent jobs count once."""
    idle_ns: int
    """Time without a job while the worker is up: its idle timeout."""

    @property
    def total_ns(self) -> int:
        """Return the sum of the three kinds."""
        return self.starting_ns + self.busy_ns + self.idle_ns


class _Account(msgspec.Struct, kw_only=True):
    condition: Condition
    since_ns: int
    """Time until which this worker's time is in the sums."""
    jobs_count: int = 0
    arrivals_count: int = 0
    share: int = 0
    """Integral of dt / jobs_count over the time with jobs, in units of 2**-_SHARE_BITS nanoseconds."""

    @property
    def kind(self) -> _Kind | None:
        """Return the kind of time that is billed now; None if none is."""
        if self.jobs_count:
            return "busy"
        return {"off": None, "starting": "starting", "up": "idle"}[self.condition]


class _Stay(msgspec.Struct, kw_only=True):
    """Represent a job that a worker holds now."""

    worker_id: str
    started_ns: int
    others_count: int
    """Number of jobs that the worker held before it."""
    arrivals_before: int
    share_before: int


class WorkerTime:
    """Track the worker time of one endpoint. The times passed for one worker must never go back."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._stays: dict[str, _Stay] = {}
        self._sums: dict[_Kind, int] = {"starting": 0, "busy": 0, "idle": 0}

    def change(self, worker_id: str, condition: Condition, now_s: float) -> None:
        """Record that a worker starts, is up, or is off."""
        account = self._account(worker_id, to_ns(now_s))
        account.condition = condition
        self._forget_if_off(worker_id, account)

    def begin(self, job: Job, worker_id: str, now_s: float) -> None:
        """Record that a worker has begun a job. A worker without a recorded start is billed for its jobs alone."""
        now_ns = to_ns(now_s)
        account = self._account(worker_id, now_ns)
        self._stays[job.id] = _Stay(
            worker_id=worker_id,
            started_ns=now_ns,
            others_count=account.jobs_count,
            arrivals_before=account.arrivals_count,
            share_before=account.share,
        )
        account.jobs_count += 1
        account.arrivals_count += 1

    def end(self, job: Job, now_s: float) -> None:
        """Record that a job has left its worker, and append the interval to the job."""
        stay = self._stays.pop(job.id)
        now_ns = to_ns(now_s)
        account = self._account(stay.worker_id, now_ns)
        job.occupancies.append(_occupancy(stay, account, share=account.share, ended_ns=now_ns))
        account.jobs_count -= 1
        self._forget_if_off(stay.worker_id, account)

    def jobs_count(self, worker_id: str) -> int:
        """Return the number of jobs that a worker holds."""
        account = self._accounts.get(worker_id)
        return account.jobs_count if account is not None else 0

    def idle_since_ns(self, worker_id: str) -> int | None:
        """Return the time since which a worker is up without a job; None if it has a job or is not up."""
        account = self._accounts.get(worker_id)
        return account.since_ns if account is not None and account.kind == "idle" else None

    def occupancies(self, job: Job, now_s: float) -> list[Occupancy]:
        """Return the intervals in which a worker held the job, oldest first; the last one may not have ended."""
        stay = self._stays.get(job.id)
        if stay is None:
            return list(job.occupancies)
        account = self._accounts[stay.worker_id]
        share = account.share + _even_share(account, to_ns(now_s))
        return [*job.occupancies, _occupancy(stay, account, share=share, ended_ns=None)]

    def usage(self, now_s: float) -> Usage:
        """Return the worker time from the beginning until now."""
        sums = dict(self._sums)
        now_ns = to_ns(now_s)
        for account in self._accounts.values():
            if account.kind is not None:
                sums[account.kind] += now_ns - account.since_ns
        return Usage(starting_ns=sums["starting"], busy_ns=sums["busy"], idle_ns=sums["idle"])

    def _account(self, worker_id: str, now_ns: int) -> _Account:
        """Return the account of a worker after adding its time until now to the sums."""
        account = self._accounts.get(worker_id)
        if account is None:
            account = self._accounts[worker_id] = _Account(condition="off", since_ns=now_ns)
        elif account.kind is not None:
            self._sums[account.kind] += now_ns - account.since_ns
            account.share += _even_share(account, now_ns)
        account.since_ns = now_ns
        return account

    def _forget_if_off(self, worker_id: str, account: _Account) -> None:
        if account.kind is None:
            del self._accounts[worker_id]


def _even_share(account: _Account, now_ns: int) -> int:
    """Divide the time not yet in the sums evenly among a worker's jobs, in units of 2**-_SHARE_BITS nanoseconds."""
    if not account.jobs_count:
        return 0
    return ((now_ns - account.since_ns) << _SHARE_BITS) // account.jobs_count


def _occupancy(stay: _Stay, account: _Account, *, share: int, ended_ns: int | None) -> Occupancy:
    return Occupancy(
        worker_id=stay.worker_id,
        started_ns=stay.started_ns,
        ended_ns=ended_ns,
        jobs_count=stay.others_count + account.arrivals_count - stay.arrivals_before,
        share_ns=(share - stay.share_before) >> _SHARE_BITS,
    )
