"""The two lines of a request are written past structlog: to the byte as structlog writes them."""

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import Attempt, Usage
from gateway.events import GpuTimeSettled, Outcome, Settled, Trace, TraceContext
from gateway.observability.log_queue import LineQueue
from gateway.observability.log_writer import LogWriter, queue_loggers
from gateway.observability.logs import EventLog, configure_logs
from gateway.observability.request_lines import Timestamps
from gateway.translate.client_formats.openai_chat import OPENAI_CHAT
from gateway.wire.traceparent import TraceParent
from tests.effort import tries
from tests.factories import attempt
from tests.observability.test_metrics import settled

LEVELS = {
    Outcome.COMPLETED: "info",
    Outcome.REJECTED: "info",
    Outcome.REFUSED: "warning",
    Outcome.UPSTREAM_FAILED: "warning",
    Outcome.CLIENT_LEFT: "info",
    Outcome.CUT: "warning",
    Outcome.BROKEN: "error",
}
STAMP = r'"timestamp": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"}\n'

texts = st.text(st.characters(exclude_categories=()), max_size=8)
"""Among them halves of surrogate pairs, which msgspec cannot encode."""
seconds = st.none() | st.floats()
traces = st.builds(
    Trace,
    context=st.builds(
        TraceContext,
        client_format=st.just(OPENAI_CHAT),
        own=st.builds(
            TraceParent,
            trace_id=st.integers(min_value=1, max_value=2**128 - 1),
            span_id=st.just(1),
            flags=st.just(1),
        ),
        parent=st.none(),
        received_at_s=st.just(0.0),
    ),
    is_stream=st.booleans(),
    queued_at_s=st.none(),
    turn_at_s=st.none(),
    sent_at_s=st.none(),
    accepted_at_s=st.none(),
)
exchanges = st.builds(
    Settled,
    **dict.fromkeys(("request_id", "tenant", "model", "endpoint", "route", "key_id"), texts),
    **{name: st.none() | texts for name in ("reason", "error", "job_id", "key_label")},
    **dict.fromkeys(("queue_s", "upstream_delay_s", "first_chunk_s", "gpu_s", "execution_s"), seconds),
    duration_s=st.floats(),
    outcome=st.sampled_from(Outcome),
    usage=st.none() | st.builds(Usage, prompt_tokens=st.integers(0, 2**40), completion_tokens=st.integers(0, 2**40)),
    trace=st.none() | traces,
)
attempts = st.builds(
    GpuTimeSettled,
    attempt=st.builds(
        Attempt,
        **dict.fromkeys(("request_id", "tenant", "key_id", "model", "endpoint", "route"), texts),
        number=st.integers(0, 9),
        job_id=st.none() | texts,
    ),
    gpu_s=seconds,
    execution_s=seconds,
)


@pytest.fixture
def no_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def told(event: Settled | GpuTimeSettled) -> tuple[str, str, dict[str, Any]]:
    """The level, the name and the fields of an event's line, in their order."""
    if isinstance(event, GpuTimeSettled):
        one = event.attempt
        who = {"request_id": one.request_id or None, "attempt": one.number or None, "tenant": one.tenant}
        where = {"key_id": one.key_id or None, "model": one.model or None, "endpoint": one.endpoint}
        seconds = {"gpu_s": rounded(event.gpu_s), "execution_s": rounded(event.execution_s)}
        return (
            "info",
            "attempt.settled",
            {**who, **where, "job_id": one.job_id, "route": one.route or None, **seconds},
        )
    usage = event.usage
    fields = {
        "request_id": event.request_id,
        **{name: getattr(event, name) or None for name in ("tenant", "key_id")},
        "key_label": event.key_label,
        **{name: getattr(event, name) or None for name in ("model", "endpoint", "route")},
        "job_id": event.job_id,
        "outcome": event.outcome.value,
        **{name: getattr(event, name) for name in ("status", "reason", "error")},
        **{name: rounded(getattr(event, name)) for name in ("queue_s", "upstream_delay_s", "first_chunk_s")},
        "duration_s": rounded(event.duration_s),
        "tokens_in": usage.prompt_tokens if usage else None,
        "tokens_out": usage.completion_tokens if usage else None,
        "tokens_estimated": usage.is_estimate if usage else None,
        "gpu_s": rounded(event.gpu_s),
        "gpu_s_estimated": event.is_gpu_estimate,
        "execution_s": rounded(event.execution_s),
        "attempts": event.attempts,
    }
    if event.trace is not None:
        fields["trace_id"] = f"{event.trace.context.own.trace_id:032x}"
    return LEVELS[event.outcome], "exchange.settled", fields


@given(exchanges | attempts)
@settings(max_examples=tries(1000), deadline=None)
def test_a_line_is_what_structlog_makes_of_its_fields(event: Settled | GpuTimeSettled) -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    level, name, fields = told(event)
    try:
        configure_logs("json", ours)
        EventLog().observe(event)
        configure_logs("json", theirs)
        getattr(structlog.get_logger(), level)(name, **fields)
    finally:
        structlog.reset_defaults()
    found, expected = (re.fullmatch(f"(.*){STAMP}", text.getvalue(), re.DOTALL) for text in (ours, theirs))
    assert found
    assert expected
    assert found[1] == expected[1]


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("event", [settled(), GpuTimeSettled(attempt=attempt(), gpu_s=1.0)])
def test_structlog_has_no_part_in_these_lines(event: Settled | GpuTimeSettled, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    configure_logs("json", stream)
    log = EventLog()
    monkeypatch.setattr(log, "_log", None)
    log.observe(event)
    assert stream.getvalue().endswith('Z"}\n')


@pytest.mark.usefixtures("no_logs")
def test_tests_that_capture_lines_see_these_too() -> None:
    stream = io.StringIO()
    configure_logs("json", stream)
    log = EventLog()
    log.observe(settled(request_id="before"))
    with structlog.testing.capture_logs() as lines:
        log.observe(settled(request_id="within"))
    log.observe(settled(request_id="after"))
    assert [(line["event"], line["request_id"], line["outcome"]) for line in lines] == [
        ("exchange.settled", "within", "completed")
    ]
    written = [json.loads(line)["request_id"] for line in stream.getvalue().splitlines()]
    assert written == ["before", "after"]


@pytest.mark.usefixtures("no_logs")
def test_a_log_that_is_configured_late_is_written_as_json_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLog()
    log.observe(settled(request_id="early"))
    assert "early" in capsys.readouterr().out
    stream = io.StringIO()
    configure_logs("json", stream)
    log.observe(settled(request_id="late"))
    assert json.loads(stream.getvalue())["request_id"] == "late"


@pytest.mark.usefixtures("no_logs")
def test_a_request_that_broke_is_an_urgent_line() -> None:
    queue = LineQueue(lines_max=2)
    writer = LogWriter(lambda _: None, report_dropped=lambda _: None, queue=queue)
    configure_logs("json", io.StringIO(), queue_loggers(writer))
    log = EventLog()
    for number in range(3):
        log.observe(settled(request_id=f"r{number}"))
    log.observe(settled(request_id="broken", outcome=Outcome.BROKEN))
    assert [json.loads(line)["request_id"] for line in queue.take(10**6)] == ["r0", "broken"]
    assert queue.dropped == 2


@given(st.lists(st.integers(0, 4_000_000_000_000_000) | st.integers(0, 4_000_000_000).map(lambda s: s * 1_000_000)))
@settings(max_examples=tries(300))
def test_the_time_is_written_as_structlog_writes_it(times_us: list[int]) -> None:
    now_us = 0
    # Half a microsecond more, which no rounding of the number of seconds takes away.
    stamps = Timestamps(lambda: (now_us + 0.5) / 1_000_000)
    for now_us in times_us:
        at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=now_us)
        assert stamps.now() == at.isoformat().replace("+00:00", "Z")
