"""Cost: GPU seconds and tokens, by tenant."""

from grafana_foundation_sdk.models import units

from grafana.boards import Board, Row
from grafana.charts import Chart, Line
from grafana.queries import ENDPOINT, MODEL, TENANT, growth, rate, total

_GPU = (TENANT, ENDPOINT)
_TOKENS = (TENANT, MODEL)
_OUT = 'direction="out"'

_OVER_TIME = (
    Chart(
        title="GPUs busy",
        text="GPU seconds per second by tenant, which is how many GPUs each kept busy, on either route.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(rate("gpu_seconds_total", *_GPU), by="tenant"), "{{tenant}}"),),
    ),
    Chart(
        title="Share of GPU time",
        text="Which part of all GPU seconds each tenant used.",
        unit=units.PercentUnit,
        kind="areas",
        maximum=1,
        lines=(
            Line(
                f"{total(rate('gpu_seconds_total', *_GPU), by='tenant')}"
                f" / on () group_left () {total(rate('gpu_seconds_total', ENDPOINT))}",
                "{{tenant}}",
            ),
        ),
    ),
    Chart(
        title="GPUs busy by endpoint",
        text="GPU seconds per second at each endpoint.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(rate("gpu_seconds_total", *_GPU), by="endpoint"), "{{endpoint}}"),),
    ),
    Chart(
        title="GPU seconds per 1000 output tokens",
        text="What answers cost: long prompts and small batches make them dear, and jobs that their clients left.",
        unit=units.Seconds,
        lines=(
            Line(
                f"1000 * {total(rate('gpu_seconds_total', *_GPU), by='tenant')}"
                f" / {total(rate('tokens_total', *_TOKENS, _OUT), by='tenant')}",
                "{{tenant}}",
            ),
        ),
    ),
    Chart(
        title="Idle GPUs",
        text="Running workers that no request used: starts and idle timeouts, which Runpod bills and no tenant caused.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(rate("gpu_idle_seconds_total", ENDPOINT), by="endpoint"), "{{endpoint}}"),),
    ),
    Chart(
        title="Requests per busy GPU",
        text="Execution time by Runpod's account over GPU seconds: how many jobs shared a worker.",
        unit=units.Short,
        lines=(
            Line(
                f"{total(rate('execution_seconds_total', *_GPU), by='endpoint')}"
                f" / {total(rate('gpu_seconds_total', *_GPU), by='endpoint')}",
                "{{endpoint}}",
            ),
        ),
    ),
    Chart(
        title="GPU seconds saved",
        text="What cancelled jobs would have used beyond what they did, going by the tenant's other jobs.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(rate("gpu_seconds_saved_total", *_GPU), by="tenant"), "{{tenant}}"),),
    ),
    Chart(
        title="Output tokens",
        text="Tokens of answers per second, by tenant.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(rate("tokens_total", *_TOKENS, _OUT), by="tenant"), "{{tenant}}"),),
    ),
    Chart(
        title="Input tokens",
        text="Tokens of prompts per second, by tenant.",
        unit=units.Short,
        kind="areas",
        lines=(Line(total(rate("tokens_total", *_TOKENS, 'direction="in"'), by="tenant"), "{{tenant}}"),),
    ),
)
_IN_ALL = (
    Chart(
        title="GPU seconds in the time shown",
        text="What each tenant used at each endpoint between the two ends of the time range.",
        unit=units.Seconds,
        kind="bars",
        lines=(Line(total(growth("gpu_seconds_total", *_GPU), by="tenant, endpoint"), "{{tenant}} at {{endpoint}}"),),
    ),
    Chart(
        title="Tokens in the time shown",
        text="What each tenant sent and got of each model between the two ends of the time range.",
        unit=units.Short,
        kind="bars",
        lines=(
            Line(
                total(growth("tokens_total", *_TOKENS), by="tenant, model, direction"),
                "{{tenant}} {{model}} {{direction}}",
            ),
        ),
    ),
)
COST = Board(
    uid="fairpod-cost",
    title="Cost",
    text="GPU seconds and tokens by tenant; Runpod bills workers by the second, idle time and start-up included.",
    rows=(Row("Over time", _OVER_TIME), Row("In all", _IN_ALL)),
)
