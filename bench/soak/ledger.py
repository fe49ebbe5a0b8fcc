"""The gateway's log, read when all is over: what it says of each request and of each job. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(slots=True)
class Ledger:
    """What the log says, counted."""

    settled: int = 0
    left_in_line: int = 0
    left_before_output: int = 0
    left_in_answer: int = 0
    jobs: set[str] = field(default_factory=set)
    """All that were submitted for a request, by their id."""
    left_jobs: set[str] = field(default_factory=set)
    """Those whose client left."""
    cancelled: dict[str, str] = field(default_factory=dict)
    """How the cancel of a job went."""
    bad_lines: int = 0
    """Errors of ours, and lines that are none of ours: what Python or a library had to say."""

    @property
    def left(self) -> int:
        """Requests whose client left."""
        return self.left_in_line + self.left_before_output + self.left_in_answer

    def uncancelled(self, states: dict[str, str]) -> set[str]:
        """Jobs whose client left, that nobody cancelled and that did not end by themselves just then."""
        return {job for job in self.left_jobs - self.cancelled.keys() if states.get(job) != "COMPLETED"}


def read(lines: Iterable[str]) -> Ledger:
    """Count the lines of a log."""
    ledger = Ledger()
    for line in lines:
        try:
            entry: Any = msgspec.json.decode(line)
            _enter(ledger, entry)
        except (msgspec.DecodeError, KeyError, TypeError):
            ledger.bad_lines += 1
    return ledger


def _enter(ledger: Ledger, entry: Any) -> None:
    if entry["level"] == "error":
        ledger.bad_lines += 1
    if entry["event"] == "job.cancelled":
        ledger.cancelled[entry["job_id"]] = entry["outcome"]
    if entry["event"] != "exchange.settled":
        return
    ledger.settled += 1
    job = entry["job_id"]
    if job is not None:
        ledger.jobs.add(job)
    if entry["outcome"] != "client_left":
        return
    if job is not None:
        ledger.left_jobs.add(job)
    if entry["queue_s"] is None:
        ledger.left_in_line += 1
    elif entry["first_chunk_s"] is None:
        ledger.left_before_output += 1
    else:
        ledger.left_in_answer += 1
