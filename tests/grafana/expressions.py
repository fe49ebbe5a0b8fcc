"""Every expression that is shipped: of the committed dashboards' panels, and of the alert rules."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
GRAFANA = ROOT / "grafana"
ALERTS = GRAFANA / "alerts.yaml"


class Expression(msgspec.Struct, frozen=True):
    """A query, and where it stands."""

    place: str
    text: str
    legend: str = ""


def dashboards() -> dict[str, dict[str, Any]]:
    """The committed files, by uid."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """A dashboard's panels, without its headlines."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_expressions() -> list[Expression]:
    """What the panels ask."""
    return [
        Expression(f"{uid}: {panel['title']}: {target['legendFormat']}", target["expr"], target["legendFormat"])
        for uid, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def rules() -> Iterator[dict[str, Any]]:
    """The alert rules."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from group["rules"]


def rule_expressions() -> list[Expression]:
    """What the rules ask."""
    return [Expression(rule["alert"], rule["expr"]) for rule in rules()]
