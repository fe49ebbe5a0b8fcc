"""A dashboard: rows of charts, and the variables that their queries use."""

import json
import re

import msgspec
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.charts import DATASOURCE, Chart, panel

TAG = "fairpod"
CHOICES = {
    "tenant": "label_values(gateway_requests_total, tenant)",
    "model": "label_values(gateway_requests_total, model)",
    "endpoint": "label_values(gateway_upstream_requests_total, endpoint)",
}
"""What can be picked at the top of a dashboard, and where its values come from."""


class Row(msgspec.Struct, frozen=True):
    """A headline, and the charts under it."""

    title: str
    charts: tuple[Chart, ...]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard. Its uid is its address in Grafana and must not change."""

    uid: str
    title: str
    text: str
    rows: tuple[Row, ...]


def build(board: Board) -> model.Dashboard:
    """The dashboard as Grafana stores it. Panels are numbered in order, so that the same code gives the same JSON."""
    made = dashboard.Dashboard(f"Fairpod / {board.title}").uid(board.uid).description(board.text).tags([TAG])
    made.time("now-1h", "now").refresh("30s").timezone("browser").editable()
    made.tooltip(model.DashboardCursorSync.CROSSHAIR).link(_links())
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for name in CHOICES:
        if name in _names(board):
            made.with_variable(_choice(name))
    panel_id = 0
    for row in board.rows:
        panel_id += 1
        made.with_row(dashboard.Row(row.title).id(panel_id))
        for chart in row.charts:
            panel_id += 1
            made.with_panel(panel(chart, panel_id))
    return made.build()


def encode(made: model.Dashboard) -> bytes:
    """The file."""
    return (json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True) + "\n").encode()


def _names(board: Board) -> set[str]:
    lines = (line for row in board.rows for chart in row.charts for line in chart.lines)
    return {name for line in lines for name in re.findall(r"\$(\w+)", line.expression)}


def _choice(name: str) -> dashboard.QueryVariable:
    """Any number of values; all at first, those without the label too: who has no valid key has no tenant."""
    made = dashboard.QueryVariable(name).label(name.capitalize()).datasource(DATASOURCE).query(CHOICES[name])
    made.multi(True).include_all(True).all_value(".*")  # noqa: FBT003 - the builder takes it so.
    made.current(model.VariableOption(selected=True, text="All", value="$__all"))
    return made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)


def _links() -> dashboard.DashboardLink:
    made = dashboard.DashboardLink("Fairpod").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.include_vars(True).keep_time(True)  # noqa: FBT003 - the builder takes it so.
