import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.admission.lease_store import RecordKind
from gateway.connection_limits import Refusal
from gateway.domain import Operation, Usage
from gateway.errors import ConnectFault
from gateway.events import (
    Admitted,
    Broke,
    CallOutcome,
    ClientRefused,
    ConfigRead,
    Event,
    FirstChunk,
    GpuTimeSettled,
    JobCancelled,
    JobEnded,
    JournalChanged,
    Outcome,
    RecordsUnreadable,
    Reload,
    Settled,
    StateStoreChanged,
    TaskFailed,
    UpstreamCalled,
)
from gateway.observability.gauges import EndpointGauges
from gateway.observability.metrics import Metrics
from tests.factories import attempt

READING = EndpointGauges(
    endpoint="chat",
    tickets={"a": 2},
    permits={"a": 3, "b": 1},
    fair_seats={"a": 2.5},
    share_ratios={"a": 1.5},
    budget_used={"run": 0.5},
    cancels_pending=4,
    is_down=True,
    workers={"idle": 2, "invented": 1},
    idle_gpu_s=2.5,
)


def cancelled(outcome: CallOutcome = CallOutcome.OK) -> JobCancelled:
    return JobCancelled(
        attempt=attempt(),
        outcome=outcome,
        is_orphan=True,
        gpu_s=3.0,
        execution_s=4.0,
        saved_s=7.0,
    )


def settled(**changes: object) -> Settled:
    fields: dict[str, object] = {
        "request_id": "r",
        "outcome": Outcome.COMPLETED,
        "status": 200,
        "reason": None,
        "error": None,
        "tenant": "acme",
        "model": "m",
        "endpoint": "chat",
        "route": "job",
        "job_id": "j",
        "key_id": "key_1",
        "key_label": "ci",
        "attempts": 2,
        "duration_s": 2.0,
        "queue_s": 0.1,
        "upstream_delay_s": 0.5,
        "first_chunk_s": 1.0,
        "gpu_s": 1.5,
        "execution_s": 4.5,
        "usage": Usage(prompt_tokens=3, completion_tokens=4),
        "chunks": 5,
        "replacement_characters": 2,
        **changes,
    }
    return Settled(**fields)  # type: ignore[arg-type]


def samples(*events: Event, readings: tuple[EndpointGauges, ...] = ()) -> dict[str, float]:
    """What a scrape shows after these events, by name and labels."""
    metrics = Metrics(version="1.2.3", read=lambda: readings)
    for event in events:
        metrics.observe(event)
    metrics.take_readings()
    families = text_string_to_metric_families(metrics.render()[0].decode())
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: dict[str, float], name: str, **labels: str) -> float:
    return found[name + str(sorted(labels.items()))]


def test_a_settled_exchange_is_counted() -> None:
    ended = JobEnded(attempt=attempt(), execution_s=4.5, delay_s=0.5)
    unknown = JobEnded(attempt=attempt(), execution_s=None, delay_s=0.5)
    gpu = GpuTimeSettled(attempt=attempt(), gpu_s=1.5)
    found = samples(settled(), settled(outcome=Outcome.REFUSED, reason="rate_limit_exceeded"), ended, unknown, gpu)
    who = {"tenant": "acme", "model": "m"}
    assert value(found, "gateway_requests_total", **who, route="job", outcome="completed") == 1
    assert value(found, "gateway_requests_total", **who, route="job", outcome="refused") == 1
    assert value(found, "gateway_refusals_total", tenant="acme", reason="rate_limit_exceeded") == 1
    assert value(found, "gateway_request_duration_seconds_sum", model="m", route="job") == 4
    assert value(found, "gateway_tokens_total", **who, direction="in") == 6
    assert value(found, "gateway_tokens_total", **who, direction="out") == 8
    assert value(found, "gateway_gpu_seconds_total", tenant="acme", endpoint="chat") == 1.5
    # Runpod's own account stands beside it: jobs that share a worker are counted each.
    assert value(found, "gateway_execution_seconds_total", tenant="acme", endpoint="chat") == 4.5
    assert value(found, "gateway_upstream_delay_seconds_sum", endpoint="chat") == 1
    assert value(found, "gateway_chunks_total", model="m") == 10
    assert value(found, "gateway_replacement_characters_total", endpoint="chat") == 4


def test_calls_cancels_waits_and_bugs_are_counted() -> None:
    found = samples(
        Admitted(tenant="acme", endpoint="chat", wait_s=0.2),
        FirstChunk(request_id="r", model="m", route="job", after_s=0.3),
        UpstreamCalled(endpoint="chat", operation=Operation.PURGE_QUEUE, outcome=CallOutcome.LOST),
        cancelled(),
        Broke(request_id="r", error=ValueError("x")),
        TaskFailed(task="journal", error=ValueError("x"), restart_s=0.1),
        RecordsUnreadable(kind=RecordKind.REPORT, count=3),
    )
    assert value(found, "gateway_admission_wait_seconds_sum", tenant="acme", endpoint="chat") == 0.2
    assert value(found, "gateway_first_chunk_seconds_count", model="m", route="job") == 1
    assert (
        value(found, "gateway_upstream_requests_total", endpoint="chat", operation="purge_queue", outcome="lost") == 1
    )
    assert value(found, "gateway_cancels_total", endpoint="chat", outcome="ok") == 1
    assert value(found, "gateway_orphans_total", endpoint="chat") == 1
    assert value(found, "gateway_execution_seconds_total", tenant="acme", endpoint="chat") == 4
    assert value(found, "gateway_gpu_seconds_saved_total", tenant="acme", endpoint="chat") == 7
    assert value(found, "gateway_bugs_total") == 2
    assert value(found, "gateway_state_records_unreadable_total", kind="report") == 3
    assert value(found, "gateway_state_records_unreadable_total", kind="open_job") == 0
    assert value(found, "gateway_build_info", version="1.2.3") == 1
    assert value(found, "gateway_state_store_up") == 1


@pytest.mark.parametrize("is_store_up", [True, False])
@pytest.mark.parametrize("is_journal_up", [True, False])
def test_the_store_is_up_while_leases_and_journal_are(is_store_up: bool, is_journal_up: bool) -> None:
    found = samples(
        JournalChanged(is_up=is_journal_up, reason=""), StateStoreChanged(is_up=is_store_up, reason="", policy="share")
    )
    assert value(found, "gateway_state_store_up") == (is_store_up and is_journal_up)
    found = samples(
        StateStoreChanged(is_up=is_store_up, reason="", policy="share"), JournalChanged(is_up=is_journal_up, reason="")
    )
    assert value(found, "gateway_state_store_up") == (is_store_up and is_journal_up)


def test_gauges_are_read_when_they_are_scraped() -> None:
    found = samples(readings=(READING,))
    assert value(found, "gateway_queued_requests", tenant="a", endpoint="chat") == 2
    assert value(found, "gateway_inflight_requests", tenant="b", endpoint="chat") == 1
    assert value(found, "gateway_share_ratio", tenant="a", endpoint="chat") == 1.5
    assert value(found, "gateway_fair_seats", tenant="a", endpoint="chat") == 2.5
    assert value(found, "gateway_upstream_budget_used_ratio", endpoint="chat", operation="run") == 0.5
    assert value(found, "gateway_cancels_pending", endpoint="chat") == 4
    assert value(found, "gateway_endpoint_down", endpoint="chat") == 1
    assert value(found, "gateway_workers", endpoint="chat", state="idle") == 2
    assert not any(state in name for name in found for state in ("invented",))
    assert value(found, "gateway_gpu_idle_seconds_total", endpoint="chat") == 2.5
    assert "process_resident_memory_bytes[]" in found


def test_log_lines_that_were_lost_are_counted_as_they_are_scraped() -> None:
    lost = 3
    metrics = Metrics(version="x", read=lambda: (), lines_dropped=lambda: lost)
    assert "gateway_log_lines_dropped_total 3.0" in metrics.render()[0].decode()
    lost = 5
    assert "gateway_log_lines_dropped_total 5.0" in metrics.render()[0].decode()


def test_no_series_of_creation_times() -> None:
    assert not any("_created" in name for name in samples(settled()))


def test_exemplars_lead_to_the_log_where_openmetrics_is_asked_for() -> None:
    metrics = Metrics(version="x", read=lambda: ())
    metrics.observe(settled(request_id="slow-one", duration_s=3.0))
    metrics.observe(settled(request_id="quick-one", duration_s=0.01))
    body, media_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert media_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert b'# {request_id="slow-one"}' in body
    assert b"quick-one" not in body
    plain, media_type = metrics.render("text/plain")
    assert media_type.startswith("text/plain; version=0.0.4")
    assert b"slow-one" not in plain


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=x", "application/openmetrics-text;version=9" * 99, ","]
)
def test_an_odd_accept_header_is_answered(accept: str) -> None:
    body, _ = Metrics(version="x", read=lambda: ()).render(accept)
    assert b"gateway_build_info" in body


def test_a_configuration_that_is_read_anew_is_counted() -> None:
    refused = ConfigRead(outcome=Reload.REFUSED, at_s=30.0, problems=["x: y"])
    found = samples(ConfigRead(outcome=Reload.TAKEN, at_s=20.0), refused)
    counts = {each: value(found, "gateway_config_reloads_total", outcome=each.value) for each in Reload}
    assert counts == {"taken": 1, "refused": 1, "unchanged": 0}
    assert value(found, "gateway_config_last_reload_successful") == 0
    assert value(found, "gateway_config_last_reload_success_timestamp_seconds") == 20
    found = samples(refused, ConfigRead(outcome=Reload.UNCHANGED, at_s=40.0))
    assert value(found, "gateway_config_last_reload_successful") == 1
    assert value(found, "gateway_config_last_reload_success_timestamp_seconds") == 40


def test_the_configuration_that_a_process_began_with_is_a_good_one() -> None:
    metrics = Metrics(version="x", read=lambda: (), started_at_s=7.0)
    text = metrics.render("")[0].decode()
    assert "gateway_config_last_reload_successful 1.0" in text
    assert "gateway_config_last_reload_success_timestamp_seconds 7.0" in text


def test_refusals_of_the_server_are_counted_by_reason_and_begin_at_zero() -> None:
    refused = ClientRefused(reason=Refusal.SLOW, request_id="", at_s=0.0)
    found = samples(refused, refused)
    assert value(found, "gateway_client_refusals_total", reason="request_timeout") == 2
    assert value(found, "gateway_client_refusals_total", reason="evicted") == 0


def test_connections_that_fail_are_counted_by_reason_and_begin_at_zero() -> None:
    metrics = Metrics(version="x", read=lambda: (), endpoints=["chat"])
    failed = UpstreamCalled(
        endpoint="chat", operation=Operation.RUN, outcome=CallOutcome.FAILED, fault=ConnectFault.CERTIFICATE
    )
    metrics.observe(failed)
    rendered = metrics.render()[0].decode()
    assert 'gateway_connect_failures_total{endpoint="chat",reason="certificate"} 1.0' in rendered
    assert 'gateway_connect_failures_total{endpoint="chat",reason="no_descriptors"} 0.0' in rendered
