"""Fair share: who gets what, who waits for it, and who is turned away."""

from grafana_foundation_sdk.models import units

from grafana.boards import Board, Row
from grafana.charts import Chart, Line
from grafana.queries import ENDPOINT, TENANT, quantile, rate, series, total

_HERE = (TENANT, ENDPOINT)
_WHO = "tenant, endpoint"
_LEGEND = "{{tenant}} at {{endpoint}}"
_ENTITLED = f"avg by ({_WHO}) ({series('fair_seats', *_HERE)})"
"""Every replica tells the same number: it is of all of them together."""
_BORROWED = f"{total(series('inflight_requests', *_HERE), by=_WHO)} - {_ENTITLED} or - {_ENTITLED}"
"""A tenant that holds nothing has no series at all."""

_SHARES = (
    Chart(
        title="Share ratio",
        text="Service of the last half minute by fair share: whoever waits should have 1 or more.",
        unit=units.Short,
        steps=((None, "red"), (0.9, "green")),
        lines=(Line(f"avg by ({_WHO}) ({series('share_ratio', *_HERE)})", _LEGEND),),
    ),
    Chart(
        title="Who borrows from whom",
        text="Seats held minus the seats entitled to: above zero a tenant borrows, below zero it lends.",
        unit=units.Short,
        lines=(Line(_BORROWED, _LEGEND),),
    ),
    Chart(
        title="Requests in flight",
        text="Seats held at each endpoint, by tenant.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(series("inflight_requests", *_HERE), by=_WHO), _LEGEND),),
    ),
    Chart(
        title="Queued requests",
        text="Requests that wait here for a seat, by tenant.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(series("queued_requests", *_HERE), by=_WHO), _LEGEND),),
    ),
)
_WAITS = (
    Chart(
        title="Wait, p50",
        text="Half of a tenant's admitted requests waited no longer than this for their turn.",
        unit=units.Seconds,
        lines=(Line(quantile(0.5, "admission_wait_seconds", *_HERE, by=_WHO), _LEGEND),),
    ),
    Chart(
        title="Wait, p99",
        text="99 of 100 of a tenant's admitted requests waited no longer than this; those refused are not in it.",
        unit=units.Seconds,
        lines=(Line(quantile(0.99, "admission_wait_seconds", *_HERE, by=_WHO), _LEGEND),),
    ),
)
_REFUSALS = (
    Chart(
        title="Refusals by reason",
        text="Requests turned away per second: no capacity in time, or a cap of the tenant's own.",
        unit=units.RequestsPerSecond,
        lines=(Line(total(rate("refusals_total", TENANT), by="tenant, reason"), "{{tenant}}: {{reason}}"),),
    ),
    Chart(
        title="Share of requests refused",
        text="Which part of a tenant's requests was turned away.",
        unit=units.PercentUnit,
        maximum=1,
        lines=(
            Line(
                f"{total(rate('refusals_total', TENANT), by='tenant')}"
                f" / {total(rate('requests_total', TENANT), by='tenant')}",
                "{{tenant}}",
            ),
        ),
    ),
)
FAIR_SHARE = Board(
    uid="fairpod-fair-share",
    title="Fair share",
    text="Who gets which part of the endpoints, who waits, and who is turned away.",
    rows=(Row("Shares", _SHARES), Row("Waits", _WAITS), Row("Refusals", _REFUSALS)),
)
