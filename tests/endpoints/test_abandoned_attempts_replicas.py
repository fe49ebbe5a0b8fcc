"""Replicas that compare readings of /health with each other's reports: no job runs without a seat."""

from random import Random

import pytest

from gateway.endpoints.abandoned_attempts import AbandonedAttempts
from gateway.endpoints.address_state import ENDS_SEEN_S
from gateway.endpoints.jobs_in_flight import InFlightCounts, JobsInFlight
from gateway.endpoints.remote_jobs import RemoteJobs
from gateway.fairshare.replica_jobs import ReplicaJobs, TimedJobs
from gateway.wire.runpod import EndpointHealth

ADDRESS = "runpod/ep1"
STEP_S = 0.05
BEAT_STEPS = 5
LOOK_STEPS = 4
STEPS = 1200
QUIET_STEPS = 20


class Job:
    """A request and its job at Runpod, of which the gateway sees the output, the end, or neither as its client left."""

    def __init__(self, random: Random, now_s: float) -> None:
        self.from_s = now_s + random.choice([0.0, 0.1, 0.7])
        self.until_s = self.from_s + random.choice([0.3, 2.0, 6.0])
        self.seen_at_s = self.until_s + random.uniform(0, 0.09)
        self.left_at_s = now_s + random.choice([0.05, 0.4, 3.0]) if random.random() < 0.5 else float("inf")


class Replica:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.requests = JobsInFlight()
        self.attempts = AbandonedAttempts()
        self.elsewhere = RemoteJobs()
        self.live: set[Job] = set()
        self.readings: list[tuple[float, int]] = []
        self.phase = random.randrange(BEAT_STEPS)

    @property
    def seats(self) -> int:
        return len(self.live) + len(self.attempts)

    def send(self, now_s: float) -> Job:
        job = Job(self.random, now_s)
        self.live.add(job)
        self.requests.begin(job, now_s)
        return job

    def follow(self, now_s: float) -> None:
        for job in list(self.live):
            if min(job.seen_at_s, job.left_at_s) <= now_s:
                self.live.remove(job)
                self.requests.end(job, now_s)
                if job.left_at_s < job.seen_at_s:
                    self.attempts.add(
                        "t",
                        sent_at_s=job.from_s - 0.7,
                        now_s=now_s,
                        expected_s=now_s + self.random.uniform(1.0, 4.0),
                        until_s=now_s + 20,
                        end=lambda _at_s: None,
                    )
            elif job.from_s <= now_s:
                self.requests.output(job, now_s)

    def report(self, now_s: float) -> TimedJobs:
        recent = self.requests.recent(now_s)
        sure, every = [each.sure for each in recent], [each.all for each in recent]
        jobs = ReplicaJobs(sure, every, self.attempts.report(), self.attempts.until_s(now_s))
        return TimedJobs(now_s - 0.01, now_s + 0.01, {ADDRESS: jobs})

    def compare(self, now_s: float) -> None:
        """Compare the readings for which others have reported, or that have waited for a second."""
        while self.readings:
            at_s, running = self.readings[0]
            is_settled = self.elsewhere.is_known(at_s + ENDS_SEEN_S)
            if now_s < at_s + ENDS_SEEN_S or not (is_settled or now_s > at_s + 1):
                return
            self.readings.pop(0)
            own = self.requests.count(at_s)
            others = self.elsewhere.jobs_in_flight(ADDRESS, at_s, settled_at_s=at_s + ENDS_SEEN_S)
            self.attempts.look(
                EndpointHealth(jobs={"inQueue": 0, "inProgress": running}),
                asked_at_s=at_s,
                jobs_in_flight=InFlightCounts(sure=own.sure + others.sure, all=own.all + others.all),
                elsewhere=self.elsewhere.abandoned(ADDRESS),
                elsewhere_until_s=self.elsewhere.abandoned_until_s(ADDRESS) if is_settled else float("inf"),
            )


def play(seed: int, *, replicas_count: int, strangers: int) -> list[tuple[int, int]]:
    """Return the numbers of seats held and of jobs at Runpod, of all replicas together, at each step."""
    random = Random(seed)
    replicas = [Replica(random) for _ in range(replicas_count)]
    jobs: list[Job] = []
    reports: dict[Replica, TimedJobs] = {}
    counts = []
    for step in range(STEPS):
        now_s = step * STEP_S
        for replica in replicas:
            replica.follow(now_s)
            if replica.seats < 4 and random.random() < 0.3 and QUIET_STEPS < step < STEPS * 0.7:
                jobs.append(replica.send(now_s))
        running = sum(job.from_s <= now_s < job.until_s for job in jobs)
        for replica in replicas:
            if step % BEAT_STEPS == replica.phase:
                heard = [report for other, report in reports.items() if other is not replica]
                reports[replica] = replica.report(now_s)
                replica.elsewhere.note(heard, silent=len(replicas) - 1 - len(heard))
            if step % LOOK_STEPS == 0:
                replica.readings.append((now_s, running + strangers))
            replica.compare(now_s)
        counts.append((sum(each.seats for each in replicas), running))
    return counts


@pytest.mark.parametrize("strangers", [0, 2])
@pytest.mark.parametrize("replicas_count", [1, 2, 3])
def test_no_job_runs_without_a_seat_and_seats_come_back(replicas_count: int, strangers: int) -> None:
    late: set[int] = set()
    for seed in range(10):
        counts = play(seed, replicas_count=replicas_count, strangers=strangers)
        assert [(step, each) for step, each in enumerate(counts) if each[0] < each[1]] == [], seed
        late.add(counts[-1][0])
    # Those that are over are given back long before their longest time. Of other clients'
    # jobs, those are taken for abandoned ones that requests on their way hid when they were counted.
    assert max(late) <= strangers
