"""The committed dashboards are what the code makes, Grafana's schema knows all of it, and a reader finds their way."""

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from grafana.__main__ import ALERTS, BOARDS, CHART_FILES, FOLDER, file_name, main
from tests.grafana.expressions import ROOT, dashboards, panels

UIDS = ["fairpod-cost", "fairpod-endpoints", "fairpod-fair-share", "fairpod-overview"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
VARIABLES = {"tenant", "model", "endpoint"}


@pytest.fixture(params=UIDS)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dashboards()[request.param]


def test_there_are_four() -> None:
    assert sorted(dashboards()) == UIDS


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_committed_files_are_what_the_code_makes(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        main(tmp_path / "boards", tmp_path / "chart")
        assert files_of(tmp_path / "boards") == files_of(FOLDER)


def test_the_chart_ships_the_same_dashboards_and_rules() -> None:
    assert files_of(CHART_FILES / "dashboards") == files_of(FOLDER)
    assert files_of(CHART_FILES) == {ALERTS.name: ALERTS.read_bytes()}


@pytest.mark.server
def test_the_command_writes_them_in_a_process_of_its_own() -> None:
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "grafana"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert {pathlib.Path(line).name for line in done.stdout.split()} == {file_name(board) for board in BOARDS}
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == before


def test_the_schema_takes_all_of_it(dashboard: dict[str, Any]) -> None:
    """What the schema does not know, its reader drops; so what comes back whole was known whole."""
    register_default_plugins()
    read = model.Dashboard.from_json(dashboard)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == dashboard
    for panel in read.panels or []:
        if isinstance(panel, model.Panel):
            assert {type(target).__module__ for target in panel.targets or []} == {
                "grafana_foundation_sdk.models.prometheus"
            }
            assert type(panel.options).__module__.startswith("grafana_foundation_sdk.models.")


def test_the_reader_drops_what_the_schema_does_not_know(dashboard: dict[str, Any]) -> None:
    """The test before this one would notice."""
    register_default_plugins()
    panels(dashboard)[0]["targets"][0]["invented"] = 1
    read = model.Dashboard.from_json(dashboard)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) != dashboard


def test_every_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(titles) == len(set(titles))
    for panel in panels(dashboard):
        text = panel["description"]
        assert re.fullmatch(r"[A-Z0-9][^\n]{15,}[^.]\.", text), panel["title"]
        assert not re.search(r"\. [A-Z]", text), "one sentence"
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"] == DATASOURCE
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["datasource"] == DATASOURCE
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"]


def test_nothing_changes_between_runs_or_clashes(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    assert "id" not in dashboard
    assert dashboard["uid"] in UIDS
    for panel in panels(dashboard):
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_variables_are_declared_and_used(dashboard: dict[str, Any]) -> None:
    declared = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    text = " ".join(target["expr"] for panel in panels(dashboard) for target in panel["targets"])
    used = {name for name in re.findall(r"\$(\w+)", text) if not name.startswith("__")}
    assert declared["datasource"]["type"] == "datasource"
    assert declared["datasource"]["query"] == "prometheus"
    assert set(declared) - {"datasource"} == used
    assert used <= VARIABLES
    for name in used:
        assert declared[name]["multi"]
        assert declared[name]["includeAll"]
        assert declared[name]["allValue"] == ".*"
        assert declared[name]["datasource"] == DATASOURCE
        assert re.findall(rf'{name}(=~)"\${name}"', text)
        assert not re.search(rf'{name}(?!=~)[=!~]+"\${name}"', text), "a variable with several values is a pattern"


def test_every_variable_is_somewhere() -> None:
    names = {variable["name"] for made in dashboards().values() for variable in made["templating"]["list"]}
    assert names == VARIABLES | {"datasource"}
