"""Overview: how much is asked, how much of it goes wrong, and where the time goes."""

from grafana_foundation_sdk.models import units

from grafana.boards import Board, Row
from grafana.charts import Chart, Line
from grafana.queries import (
    ENDPOINT,
    FAILED,
    LET_IN,
    MODEL,
    TENANT,
    mean,
    named,
    of_gateways,
    quantile,
    rate,
    series,
    total,
)

BUDGET = 0.01
"""99 of 100 requests that are let in are to be served."""
_REQUESTS = (TENANT, MODEL)
_CAME_TO_AN_ENDPOINT = 'route!=""'
"""Whoever was turned away before took no time, and would make all the others look fast."""


def _share(part: str, whole: str) -> str:
    """Of nothing, and of what has no series yet, it is zero: a gateway at rest is well."""
    return f"{part} / ({whole} > 0) or vector(0)"


def _failed_share(window: str) -> str:
    failed, let_in = (total(rate("requests_total", *_REQUESTS, kind, window=window)) for kind in (FAILED, LET_IN))
    return _share(failed, let_in)


def _refused_share() -> str:
    refused = total(rate("requests_total", *_REQUESTS, 'outcome="refused"'))
    return _share(refused, total(rate("requests_total", *_REQUESTS)))


def _quantiles(metric: str, *matchers: str) -> tuple[Line, ...]:
    return tuple(Line(quantile(of, metric, *matchers), f"p{of * 100:.0f}") for of in (0.5, 0.9, 0.99))


_GLANCE = (
    Chart(
        title="Requests",
        text="Requests per second, however they ended.",
        unit=units.RequestsPerSecond,
        kind="number",
        width=4,
        height=4,
        lines=(Line(total(rate("requests_total", *_REQUESTS)), "requests"),),
    ),
    Chart(
        title="Failed",
        text="Share of the requests that were let in and then failed at Runpod or by a bug of ours.",
        unit=units.PercentUnit,
        kind="number",
        width=4,
        height=4,
        steps=((None, "green"), (BUDGET, "orange"), (5 * BUDGET, "red")),
        lines=(Line(_failed_share("$__rate_interval"), "failed"),),
    ),
    Chart(
        title="Refused",
        text="Share of all requests that found no capacity in time or met a cap of their tenant's.",
        unit=units.PercentUnit,
        kind="number",
        width=4,
        height=4,
        steps=((None, "green"), (0.01, "orange"), (0.05, "red")),
        lines=(Line(_refused_share(), "refused"),),
    ),
    Chart(
        title="In flight",
        text="Requests that hold a seat at an endpoint now.",
        unit=units.Short,
        kind="number",
        width=4,
        height=4,
        lines=(Line(f"{total(series('inflight_requests', TENANT, ENDPOINT))} or vector(0)", "in flight"),),
    ),
    Chart(
        title="Waiting",
        text="Requests that wait here for a seat now.",
        unit=units.Short,
        kind="number",
        width=4,
        height=4,
        lines=(Line(f"{total(series('queued_requests', TENANT, ENDPOINT))} or vector(0)", "waiting"),),
    ),
    Chart(
        title="Gateways",
        text="Gateway processes that Prometheus sees, by version.",
        unit=units.Short,
        kind="number",
        width=4,
        height=4,
        lines=(Line("count by (version) (gateway_build_info)", "{{version}}"),),
    ),
)
_TRAFFIC = (
    Chart(
        title="Requests by outcome",
        text="How requests ended, per second.",
        unit=units.RequestsPerSecond,
        kind="areas",
        lines=(Line(total(rate("requests_total", *_REQUESTS), by="outcome"), "{{outcome}}"),),
    ),
    Chart(
        title="Errors by outcome",
        text="Only the requests that did not end well, per second, by model.",
        unit=units.RequestsPerSecond,
        lines=(
            Line(
                named(
                    total(rate("requests_total", *_REQUESTS, 'outcome!="completed"'), by="model, outcome"),
                    "model",
                    "no such model",
                ),
                "{{model}} {{outcome}}",
            ),
        ),
    ),
    Chart(
        title="Requests by tenant",
        text="Who asks how much, per second.",
        unit=units.RequestsPerSecond,
        kind="areas",
        lines=(
            Line(named(total(rate("requests_total", *_REQUESTS), by="tenant"), "tenant", "no valid key"), "{{tenant}}"),
        ),
    ),
    Chart(
        title="Requests by model and route",
        text="Which models are asked, over Runpod's job API or its OpenAI route, per second.",
        unit=units.RequestsPerSecond,
        kind="areas",
        lines=(
            Line(
                named(total(rate("requests_total", *_REQUESTS), by="model, route"), "model", "no such model"),
                "{{model}} {{route}}",
            ),
        ),
    ),
    Chart(
        title="Error budget burn",
        text="How many times faster than allowed the budget of 1 % failed requests is spent; 1 uses it up exactly.",
        unit=units.Short,
        steps=((None, "green"), (6, "orange"), (14.4, "red")),
        lines=tuple(Line(f"({_failed_share(window)}) / {BUDGET}", f"over {window}") for window in ("5m", "1h", "6h")),
    ),
    Chart(
        title="Chunks",
        text="Pieces of answers sent to clients, per second, by model.",
        unit=units.Short,
        lines=(Line(total(rate("chunks_total", MODEL), by="model"), "{{model}}"),),
    ),
)
_TIME = (
    Chart(
        title="1. Waiting here",
        text="How long requests waited in this gateway for their turn at an endpoint.",
        unit=units.Seconds,
        lines=_quantiles("admission_wait_seconds", TENANT, ENDPOINT),
    ),
    Chart(
        title="2. Waiting for a worker",
        text="How long jobs waited in Runpod's own queue, cold starts included; the OpenAI route does not tell.",
        unit=units.Seconds,
        lines=_quantiles("upstream_delay_seconds", ENDPOINT),
    ),
    Chart(
        title="3. First chunk",
        text="From the request to the first output, all waiting included; an answer not streamed comes in one piece.",
        unit=units.Seconds,
        lines=_quantiles("first_chunk_seconds", MODEL),
    ),
    Chart(
        title="4. Whole answer",
        text="From the request to its last byte, streaming included, for requests that came to an endpoint.",
        unit=units.Seconds,
        lines=_quantiles("request_duration_seconds", MODEL, _CAME_TO_AN_ENDPOINT),
    ),
    Chart(
        title="Mean time up to each stage",
        text="The mean of each of the four: streaming is what lies between the first chunk and the whole answer.",
        unit=units.Seconds,
        width=24,
        lines=(
            Line(mean("admission_wait_seconds", TENANT, ENDPOINT), "waiting here"),
            Line(mean("upstream_delay_seconds", ENDPOINT), "waiting for a worker"),
            Line(mean("first_chunk_seconds", MODEL), "first chunk"),
            Line(mean("request_duration_seconds", MODEL, _CAME_TO_AN_ENDPOINT), "whole answer"),
        ),
    ),
)
_PROCESS = (
    Chart(
        title="CPU",
        text="Cores that each gateway process uses.",
        unit=units.Short,
        width=8,
        lines=(Line(of_gateways("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}"),),
    ),
    Chart(
        title="Memory",
        text="Resident memory of each gateway process.",
        unit=units.BytesIEC,
        width=8,
        lines=(Line(of_gateways("process_resident_memory_bytes"), "{{instance}}"),),
    ),
    Chart(
        title="Open files",
        text="File descriptors in use, sockets included, as a share of what each process may open.",
        unit=units.PercentUnit,
        width=8,
        lines=(Line(of_gateways("process_open_fds / process_max_fds"), "{{instance}}"),),
    ),
    Chart(
        title="Clients refused",
        text="Refused by the HTTP server itself, per second, and connections that it closed to make room for others.",
        unit=units.RequestsPerSecond,
        width=24,
        lines=(Line(total(rate("client_refusals_total"), by="reason"), "{{reason}}"),),
    ),
)
OVERVIEW = Board(
    uid="fairpod-overview",
    title="Overview",
    text="Traffic, errors, and where the time of a request goes.",
    rows=(
        Row("At a glance", _GLANCE),
        Row("Traffic and errors", _TRAFFIC),
        Row("Where the time goes", _TIME),
        Row("Process", _PROCESS),
    ),
)
