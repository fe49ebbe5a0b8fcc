"""Endpoints: how Runpod treats us, and how we treat Runpod."""

from grafana_foundation_sdk.models import units

from grafana.boards import Board, Row
from grafana.charts import Chart, Line
from grafana.queries import ENDPOINT, growth, quantile, rate, series, total

_DELAYS = total(rate("upstream_delay_seconds_count", ENDPOINT), by="endpoint")
_WARM = total(rate("upstream_delay_seconds_bucket", ENDPOINT, 'le=~"10(.0)?"'), by="endpoint")

_CALLS = (
    Chart(
        title="Call budgets used",
        text="Used part of what Runpod allows for each operation; at 100 % calls wait here.",
        unit=units.PercentUnit,
        steps=((None, "green"), (0.8, "orange")),
        lines=(
            Line(
                f"max by (endpoint, operation) ({series('upstream_budget_used_ratio', ENDPOINT)})",
                "{{endpoint}} {{operation}}",
            ),
        ),
    ),
    Chart(
        title="Calls by operation",
        text="Calls to Runpod per second.",
        unit=units.RequestsPerSecond,
        kind="areas",
        lines=(
            Line(
                total(rate("upstream_requests_total", ENDPOINT), by="endpoint, operation"), "{{endpoint}} {{operation}}"
            ),
        ),
    ),
    Chart(
        title="Calls by outcome",
        text="How calls to Runpod ended: busy is 429, gone is 404, lost is a reply that never came.",
        unit=units.RequestsPerSecond,
        kind="areas",
        lines=(
            Line(total(rate("upstream_requests_total", ENDPOINT), by="endpoint, outcome"), "{{endpoint}} {{outcome}}"),
        ),
    ),
    Chart(
        title="Calls that went wrong",
        text="Share of the calls of each operation that did not end well, by outcome.",
        unit=units.PercentUnit,
        lines=(
            Line(
                total(rate("upstream_requests_total", ENDPOINT, 'outcome!="ok"'), by="endpoint, operation, outcome")
                + " / on (endpoint, operation) group_left () "
                + total(rate("upstream_requests_total", ENDPOINT), by="endpoint, operation"),
                "{{endpoint}} {{operation}} {{outcome}}",
            ),
        ),
    ),
    Chart(
        title="Connections not opened",
        text="Connections to Runpod that could not be opened, per second, by reason.",
        unit=units.RequestsPerSecond,
        width=24,
        lines=(
            Line(total(rate("connect_failures_total", ENDPOINT), by="endpoint, reason"), "{{endpoint}} {{reason}}"),
        ),
    ),
)
_WORKERS = (
    Chart(
        title="Workers by state",
        text="By the last reading of Runpod's health: idle and ready workers are provisioned, and need not run.",
        unit=units.Short,
        lines=(Line(f"max by (endpoint, state) ({series('workers', ENDPOINT)})", "{{endpoint}} {{state}}"),),
    ),
    Chart(
        title="Wait for a worker",
        text="How long jobs waited in Runpod's own queue, as Runpod reports it for jobs that were begun.",
        unit=units.Seconds,
        steps=((None, "green"), (300, "red")),
        lines=tuple(
            Line(quantile(of, "upstream_delay_seconds", ENDPOINT, by="endpoint"), f"{{{{endpoint}}}} p{of * 100:.0f}")
            for of in (0.5, 0.9, 0.99)
        ),
    ),
    Chart(
        title="Cold starts",
        text="Share of the jobs that waited more than 10 s for a worker.",
        unit=units.PercentUnit,
        maximum=1,
        lines=(Line(f"1 - {_WARM} / {_DELAYS}", "{{endpoint}}"),),
    ),
    Chart(
        title="Seats and lines",
        text="Requests in flight at each endpoint, and requests that wait here for it.",
        unit=units.Short,
        lines=(
            Line(total(series("inflight_requests", ENDPOINT), by="endpoint"), "{{endpoint}} in flight"),
            Line(total(series("queued_requests", ENDPOINT), by="endpoint"), "{{endpoint}} waiting"),
        ),
    ),
    Chart(
        title="Characters broken by workers",
        text="U+FFFD in workers' output per second: a worker cut a character in two, and nobody can mend it.",
        unit=units.Short,
        lines=(Line(total(rate("replacement_characters_total", ENDPOINT), by="endpoint"), "{{endpoint}}"),),
    ),
)
_CARE = (
    Chart(
        title="Cancels by outcome",
        text="Jobs that nobody waits for any more, cancelled per second; one that failed runs on and costs money.",
        unit=units.RequestsPerSecond,
        lines=(
            Line(total(rate("cancels_total", ENDPOINT), by="endpoint, outcome"), "{{endpoint}} {{outcome}}"),
            Line(total(rate("orphans_total", ENDPOINT), by="endpoint"), "{{endpoint}} left by a dead gateway"),
        ),
    ),
    Chart(
        title="Cancels not yet confirmed",
        text="Jobs to be cancelled that may still run: a storm drains at 10 a second, what stays is failing.",
        unit=units.Short,
        lines=(Line(total(series("cancels_pending", ENDPOINT), by="endpoint"), "{{endpoint}}"),),
    ),
    Chart(
        title="Endpoints at rest",
        text="Endpoints that failed five times in a row; for each, how many gateways turn requests away.",
        unit=units.Short,
        width=8,
        lines=(Line(total(series("endpoint_down", ENDPOINT), by="endpoint"), "{{endpoint}}"),),
    ),
    Chart(
        title="State store",
        text="Whether each gateway reaches the state that it shares with the others: 1 is yes.",
        unit=units.Short,
        width=8,
        maximum=1,
        lines=(Line(series("state_store_up"), "{{instance}}"),),
    ),
    Chart(
        title="File in force",
        text="Whether each gateway serves by the configuration file as it read it last: 1 is yes.",
        unit=units.Short,
        width=8,
        maximum=1,
        lines=(Line(series("config_last_reload_successful"), "{{instance}}"),),
    ),
    Chart(
        title="Files read",
        text="Configuration files that gateways read while they served, in the time shown, by what became of them.",
        unit=units.Short,
        width=8,
        kind="bars",
        lines=(Line(total(growth("config_reloads_total"), by="outcome"), "{{outcome}}"),),
    ),
    Chart(
        title="Age of the configuration",
        text="How long ago each gateway last read a configuration that it could serve by, or began.",
        unit=units.Seconds,
        width=8,
        lines=(Line(f"time() - {series('config_last_reload_success_timestamp_seconds')}", "{{instance}}"),),
    ),
    Chart(
        title="Bugs",
        text="Exceptions that nobody foresaw, in the time shown; each is in the log with its trace.",
        unit=units.Short,
        width=8,
        kind="number",
        steps=((None, "green"), (1, "red")),
        lines=(Line(total("increase(gateway_bugs_total[$__range])"), "bugs"),),
    ),
    Chart(
        title="Log lines lost",
        text="Log lines that could not be written, in the time shown: stderr is read too slowly, or its disk is full.",
        unit=units.Short,
        width=8,
        kind="number",
        steps=((None, "green"), (1, "yellow")),
        lines=(Line(total("increase(gateway_log_lines_dropped_total[$__range])"), "lines"),),
    ),
)
ENDPOINTS = Board(
    uid="fairpod-endpoints",
    title="Endpoints",
    text="Calls to Runpod and their budgets, waits for workers, cancels, and what the gateway itself depends on.",
    rows=(Row("Calls to Runpod", _CALLS), Row("Workers", _WORKERS), Row("Care", _CARE)),
)
