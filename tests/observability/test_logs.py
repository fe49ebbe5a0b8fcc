import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.admission.lease_store import RecordKind
from gateway.connection_limits import Refusal
from gateway.events import (
    Broke,
    CallOutcome,
    ClientRefused,
    ConfigRead,
    EndpointChanged,
    Event,
    FirstChunk,
    GpuTimeSettled,
    JournalChanged,
    Outcome,
    RecordsUnreadable,
    Reload,
    ReplicaOvertaken,
    TaskFailed,
)
from gateway.observability.logs import LISTED_MAX, EventLog, configure_logs, redact
from tests.factories import attempt
from tests.observability.test_metrics import cancelled, settled

FIELDS = {
    "request_id", "tenant", "model", "endpoint", "route", "job_id", "outcome", "status", "queue_s", "upstream_delay_s",
    "first_chunk_s", "duration_s", "tokens_in", "tokens_out", "gpu_s", "execution_s", "key_id",
    "key_label", "attempts",
}  # fmt: skip


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs("auto", stream)
    yield stream
    structlog.reset_defaults()


def logged(stream: io.StringIO, *events: Event) -> list[dict[str, Any]]:
    log = EventLog()
    for event in events:
        log.observe(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_half_a_pair_in_an_exception_is_no_reason_to_lose_it(lines: io.StringIO) -> None:
    (line,) = logged(lines, Broke(request_id="r", error=ValueError("\ud800")))
    assert line["exception"][0]["exc_value"] == "\ud800"


def test_a_refusal_of_the_server_is_one_line_a_second_with_the_number_left_out(lines: io.StringIO) -> None:
    events = [
        ClientRefused(
            reason=reason, request_id=f"r{number}", at_s=at_s, key_id="key_1" if reason is Refusal.KEY else ""
        )
        for number, (reason, at_s) in enumerate(
            [(Refusal.SLOW, 0.0), (Refusal.SLOW, 0.5), (Refusal.SLOW, 0.9), (Refusal.KEY, 0.9), (Refusal.SLOW, 1.0)]
        )
    ]
    found = logged(lines, *events, ClientRefused(reason=Refusal.NO_ROOM, request_id="", at_s=1.0))
    assert {line["event"] for line in found} == {"client.refused"}
    assert [
        (line["reason"], line["request_id"], line["key_id"], line["suppressed"], line["level"]) for line in found
    ] == [
        ("request_timeout", "r0", None, 0, "info"),
        ("invalid_api_key", "r3", "key_1", 0, "info"),
        ("request_timeout", "r4", None, 2, "info"),
        ("too_many_connections", None, None, 0, "warning"),
    ]


def test_one_line_for_each_request(lines: io.StringIO) -> None:
    (line,) = logged(lines, FirstChunk(request_id="r", model="m", route="job", after_s=1), settled())
    assert line["event"] == "exchange.settled"
    assert set(line) >= FIELDS
    assert (line["tokens_in"], line["tokens_out"], line["level"]) == (3, 4, "info")


def test_one_line_for_each_attempt_has_its_final_figure_and_whose_it_is(lines: io.StringIO) -> None:
    one = attempt(request_id="r", number=2, job_id="j")
    found = logged(
        lines,
        GpuTimeSettled(attempt=one, gpu_s=1.5, execution_s=2.5),
        GpuTimeSettled(attempt=one, gpu_s=None),
        settled(is_gpu_estimate=True),
    )
    assert (
        found[0].items()
        >= {
            "event": "attempt.settled",
            "level": "info",
            **{name: getattr(one, name) for name in ("request_id", "tenant", "key_id", "model", "endpoint", "job_id")},
            "attempt": 2,
            "route": one.route,
            "gpu_s": 1.5,
            "execution_s": 2.5,
        }.items()
    )
    assert (found[1]["gpu_s"], found[2]["gpu_s_estimated"]) == (None, True)


def test_levels_say_who_has_to_act(lines: io.StringIO) -> None:
    outcomes = [Outcome.REJECTED, Outcome.REFUSED, Outcome.UPSTREAM_FAILED, Outcome.BROKEN, Outcome.CLIENT_LEFT]
    found = logged(lines, *(settled(outcome=outcome) for outcome in outcomes))
    assert [line["level"] for line in found] == ["info", "warning", "warning", "error", "info"]


def test_a_failed_cancel_is_a_warning(lines: io.StringIO) -> None:
    outcomes = (CallOutcome.OK, CallOutcome.FAILED)
    found = logged(lines, *map(cancelled, outcomes))
    assert [line["level"] for line in found] == ["info", "warning"]


def test_an_endpoint_that_is_down_is_an_error_and_its_return_is_told(lines: io.StringIO) -> None:
    changes = (EndpointChanged(endpoint="e", is_down=is_down, reason="x") for is_down in (True, False))
    found = logged(lines, *changes)
    assert [(line["event"], line["level"]) for line in found] == [("endpoint.down", "error"), ("endpoint.up", "info")]


def test_a_bug_has_its_frames_and_not_their_locals(lines: io.StringIO) -> None:
    def broken(prompt: str) -> None:
        secret_prompt = prompt * 2
        raise ValueError(len(secret_prompt))

    try:
        broken("my private question")
    except ValueError as error:
        (line,) = logged(lines, Broke(request_id="r", error=error))
    assert line["level"] == "error"
    assert "broken" in json.dumps(line)
    assert "private question" not in json.dumps(line)


def test_a_task_that_failed_is_named_with_what_becomes_of_it(lines: io.StringIO) -> None:
    def broken(prompt: str) -> None:
        raise ValueError(len(prompt))

    try:
        broken("my private question")
    except ValueError as error:
        found = logged(
            lines,
            TaskFailed(task="journal", error=error, restart_s=0.1),
            TaskFailed(task="journal", error=error, restart_s=None),
        )
    fields = [(line["event"], line["level"], line["task"], line["error"], line["restart_s"]) for line in found]
    assert fields == [("task.failed", "error", "journal", "ValueError", pause_s) for pause_s in (0.1, None)]
    assert "broken" in json.dumps(found)
    assert "private question" not in json.dumps(found)


def test_unreadable_records_are_told_of_once_for_each_kind(lines: io.StringIO) -> None:
    kinds = [RecordKind.REPORT, RecordKind.REPORT, RecordKind.OPEN_JOB, RecordKind.REPORT]
    found = logged(lines, *(RecordsUnreadable(kind=kind, count=2) for kind in kinds))
    assert [(line["event"], line["kind"], line["level"]) for line in found] == [
        ("state_store.record_unreadable", "report", "warning"),
        ("state_store.record_unreadable", "open_job", "warning"),
    ]


def test_a_journal_that_is_lost_and_found_is_told(lines: io.StringIO) -> None:
    lost, found = logged(
        lines, JournalChanged(is_up=False, reason="ResponseError"), JournalChanged(is_up=True, reason="")
    )
    assert (lost["event"], lost["level"], lost["error"]) == ("journal.disconnected", "error", "ResponseError")
    assert (found["event"], found["level"]) == ("journal.connected", "info")


def test_a_replica_that_was_overtaken_is_told_by_its_name(lines: io.StringIO) -> None:
    (line,) = logged(lines, ReplicaOvertaken(replica="host 8080 0"))
    assert (line["event"], line["level"], line["replica"]) == ("state_store.overtaken", "error", "host 8080 0")


def test_a_field_that_should_not_be_logged_loses_its_value(lines: io.StringIO) -> None:
    EventLog().say("something", prompt="secret", authorization="secret", tenant="acme")
    assert "secret" not in lines.getvalue()
    assert "acme" in lines.getvalue()


def test_a_console_is_written_for_people() -> None:
    stream = io.StringIO()
    configure_logs("console", stream)
    try:
        EventLog().observe(settled())
        assert "exchange.settled" in stream.getvalue()
        assert not stream.getvalue().startswith("{")
    finally:
        structlog.reset_defaults()


def test_a_configuration_that_is_read_anew_is_told(lines: io.StringIO) -> None:
    found = logged(
        lines,
        ConfigRead(outcome=Reload.TAKEN, at_s=1.0, changes=["drain_s changed"]),
        ConfigRead(outcome=Reload.UNCHANGED, at_s=1.0),
        ConfigRead(outcome=Reload.REFUSED, at_s=1.0, problems=[f"place {n}: wrong" for n in range(LISTED_MAX + 5)]),
    )
    events = [(line["event"], line["level"]) for line in found]
    assert events == [("config.reloaded", "info"), ("config.unchanged", "info"), ("config.refused", "error")]
    assert found[0]["changes"] == ["drain_s changed"]
    assert found[2]["problems"][-2:] == [f"place {LISTED_MAX - 1}: wrong", "and 5 more"]


@pytest.mark.parametrize("name", ["authorization", "api-key", "x-api-key", "api_key", "x_api_key", "headers", "key"])
def test_a_field_that_may_hold_a_key_loses_its_value(name: str) -> None:
    assert redact(None, "", {"event": "x", name: "secret"}) == {"event": "x", name: "[redacted]"}
