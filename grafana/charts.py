"""One chart: what it asks, in which unit, and one sentence that says what it shows."""

from typing import Literal

import msgspec
from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
Step = tuple[float | None, str]
"""From this value on, this colour; the first one has no value."""


class Line(msgspec.Struct, frozen=True):
    """One query, and how its series are called in the legend."""

    expression: str
    legend: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A panel of a dashboard."""

    title: str
    text: str
    """One sentence for whoever wonders what this is."""
    unit: str
    lines: tuple[Line, ...]
    kind: Literal["curves", "areas", "number", "bars"] = "curves"
    """Over time, over time on top of each other, the newest value, or a bar for the whole range."""
    width: int = 12
    """Of the 24 columns."""
    height: int = 8
    maximum: float | None = None
    steps: tuple[Step, ...] = ()


def panel(chart: Chart, panel_id: int) -> Builder[model.Panel]:
    """The chart as Grafana draws it."""
    match chart.kind:
        case "number":
            return _number(chart, panel_id)
        case "bars":
            return _bars(chart, panel_id)
        case "curves" | "areas":
            return _curves(chart, panel_id)


def _curves(chart: Chart, panel_id: int) -> timeseries.Panel:
    made = timeseries.Panel().id(panel_id).title(chart.title).description(chart.text).datasource(DATASOURCE)
    made.unit(chart.unit).span(chart.width).height(chart.height).targets(_targets(chart, is_instant=False))
    made.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    made.axis_soft_min(0).show_points(common_model.VisibilityMode.NEVER).line_width(1)
    made.legend(
        common.VizLegendOptions()
        .show_legend(True)  # noqa: FBT003 - the builder takes it so.
        .display_mode(common_model.LegendDisplayMode.TABLE)
        .placement(common_model.LegendPlacement.BOTTOM)
        .calcs(["mean", "max", "lastNotNull"])
    )
    made.tooltip(
        common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING)
    )
    if chart.kind == "areas":
        made.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL)).fill_opacity(30)
    if chart.maximum is not None:
        made.max(chart.maximum)
    if chart.steps:
        style = common.GraphThresholdsStyleConfig().mode(common_model.GraphTresholdsStyleMode.DASHED)
        made.thresholds(_thresholds(chart)).thresholds_style(style)
    return made


def _number(chart: Chart, panel_id: int) -> stat.Panel:
    made = stat.Panel().id(panel_id).title(chart.title).description(chart.text).datasource(DATASOURCE)
    made.unit(chart.unit).span(chart.width).height(chart.height).targets(_targets(chart, is_instant=False))
    made.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    made.thresholds(_thresholds(chart)).reduce_options(_newest())
    # A legend, wherever there is more than one number.
    made.text_mode(common_model.BigValueTextMode.AUTO)
    return made


def _bars(chart: Chart, panel_id: int) -> bargauge.Panel:
    made = bargauge.Panel().id(panel_id).title(chart.title).description(chart.text).datasource(DATASOURCE)
    made.unit(chart.unit).span(chart.width).height(chart.height).targets(_targets(chart, is_instant=True)).min(0)
    made.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    made.orientation(common_model.VizOrientation.HORIZONTAL).reduce_options(_newest())
    return made


def _targets(chart: Chart, *, is_instant: bool) -> list[Builder[Dataquery]]:
    made: list[Builder[Dataquery]] = []
    for index, line in enumerate(chart.lines):
        query = prometheus.Dataquery().expr(line.expression).legend_format(line.legend).ref_id(chr(ord("A") + index))
        query.datasource(DATASOURCE)
        made.append(query.instant() if is_instant else query.range())
    return made


def _thresholds(chart: Chart) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=value, color=color) for value, color in chart.steps or ((None, "text"),)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)  # noqa: FBT003 - the builder takes it so.
