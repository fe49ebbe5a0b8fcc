"""The log, counted."""

import json
from typing import Any

from bench.soak.ledger import read


def settled(outcome: str, **fields: Any) -> str:
    known = {"job_id": None, "queue_s": None, "first_chunk_s": None}
    return json.dumps({"level": "info", "event": "exchange.settled", "outcome": outcome, **known, **fields})


def cancelled(job_id: str, outcome: str) -> str:
    return json.dumps({"level": "info", "event": "job.cancelled", "job_id": job_id, "outcome": outcome})


def test_who_left_when() -> None:
    ledger = read(
        [
            settled("completed", queue_s=0.0, first_chunk_s=0.2, job_id="a"),
            settled("client_left"),
            settled("client_left", queue_s=0.1, job_id="b"),
            settled("client_left", queue_s=0.1, first_chunk_s=0.3, job_id="c"),
            settled("client_left", queue_s=0.1, first_chunk_s=0.3, job_id="d"),
            cancelled("b", "ok"),
            json.dumps({"level": "info", "event": "gateway.started"}),
        ]
    )
    assert (ledger.left_in_line, ledger.left_before_output, ledger.left_in_answer) == (1, 1, 2)
    assert ledger.left == 4
    assert ledger.settled == 5
    assert ledger.jobs == {"a", "b", "c", "d"}
    assert ledger.uncancelled({"c": "COMPLETED", "d": "IN_PROGRESS"}) == {"d"}
    assert ledger.bad_lines == 0


def test_errors_and_what_python_says_are_bad_lines() -> None:
    ledger = read([json.dumps({"level": "error", "event": "exchange.broke"}), "Traceback (most recent", '"text"', "{}"])
    assert ledger.bad_lines == 4
