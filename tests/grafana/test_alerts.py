"""The alert rules: well formed, each with cases that fire and that do not, and with a section in the runbook."""

import pathlib
import re
from typing import Any

import pytest
import yaml

from tests.grafana.expressions import ALERTS, GRAFANA, ROOT, rules
from tests.grafana.tools import promtool

RUNBOOK = ROOT / "docs" / "runbook.md"
CASES = GRAFANA / "alerts_test.yaml"
PARTS = ("Means", "Users see", "Look at", "Do")
NAMES = [rule["alert"] for rule in rules()]


def anchors(markdown: str) -> set[str]:
    """The headlines as GitHub links to them."""
    headlines = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", headline).strip().lower().replace(" ", "-") for headline in headlines}


@pytest.fixture(params=rules(), ids=lambda rule: rule["alert"])
def rule(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.mark.server
def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.server
def test_promtool_sees_them_fire_and_not_fire() -> None:
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    cases = [
        case
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


def test_cases_are_of_alerts_that_exist() -> None:
    tests = yaml.safe_load(CASES.read_text())["tests"]
    assert {case["alertname"] for test in tests for case in test["alert_rule_test"]} == set(NAMES)


CHANGES = [
    [
        ("FairpodErrorBudgetBurnFast", "> 14.4 * 0.01", "> 30 * 0.01"),
        ("FairpodErrorBudgetBurnSlow", "> 6 * 0.01", "> 20 * 0.01"),
        ("FairpodEndpointDown", "> 0.5", "> 0.95"),
        ("FairpodEndpointCold", "> 300", "> 30"),
        ("FairpodUpstreamBusy", "> 0.01\n", "> 0.2\n"),
        ("FairpodShareBelowFair", "< 0.9", "< 1"),
        ("FairpodCancelsFailing", 'outcome!~"ok|gone"}[15m])) > 0', 'outcome!~"ok|gone"}[15m])) > 9'),
        ("FairpodRefusals", '{reason="server_is_overloaded"}', ""),
        ("FairpodStateStoreDown", "for: 1m", "for: 0s"),
        ("FairpodBugs", "[15m])) > 0", "[15m])) > 1"),
        ("FairpodConfigRefused", "successful == 0\n        for: 5m", "successful == 0\n        for: 2m"),
        ("FairpodAbsent", "for: 5m", "for: 15m"),
        ("FairpodConnectionsFull", '{reason=~"too_many_connections|evicted"}', ""),
    ],
    [
        ("FairpodErrorBudgetBurnFast", '{outcome!~"refused|rejected"}', ""),
        ("FairpodEndpointDown", "> 0.5", "> 0.3"),
        ("FairpodShareBelowFair", "and\n          gateway_queued_requests > 0", ""),
        ("FairpodCancelsFailing", '{outcome!~"ok|gone"}', '{outcome!="ok"}'),
        ("FairpodStateStoreDown", "store_up == 0", "store_up == 1"),
        ("FairpodConfigRefused", "successful == 0", "successful == 1"),
        ("FairpodErrorBudgetBurnSlow", "[30m]", "[6h]"),
    ],
    [
        ("FairpodShareBelowFair", "[2m:15s]", "[15s:15s]"),
        ("FairpodErrorBudgetBurnFast", "[5m]", "[1h]"),
        ("FairpodEndpointCold", "> 300", "> 600"),
    ],
]
"""Changes that no case may let through, of several rules at a time."""


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.server
def test_a_changed_rule_fails_its_cases(changes: list[tuple[str, str, str]], tmp_path: pathlib.Path) -> None:
    text = ALERTS.read_text()
    for _, old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / ALERTS.name).write_text(text)
    (tmp_path / CASES.name).write_text(CASES.read_text())
    done = promtool("test", "rules", tmp_path / CASES.name)
    assert {name for name, _, _ in changes} <= set(re.findall(r"alertname: (\w+), time", done.stdout + done.stderr))


def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / file == RUNBOOK
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(RUNBOOK.read_text())


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    text = RUNBOOK.read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert sorted(section.split("\n")[0] for section in sections) == sorted(NAMES)
    for section in sections:
        assert re.findall(r"^\*\*(.+?)\.\*\*", section, re.MULTILINE) == list(PARTS), section.split("\n")[0]


def test_the_runbooks_links_lead_somewhere() -> None:
    text = RUNBOOK.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        assert not file or (RUNBOOK.parent / file).exists()
        page = (RUNBOOK.parent / file).read_text() if file else text
        assert not anchor or anchor in anchors(page)


def test_the_runbook_names_what_exists() -> None:
    """Error types of ours, panels of the dashboards, and keys of the configuration."""
    text = RUNBOOK.read_text()
    errors = "".join(path.read_text() for path in (ROOT / "gateway" / "errors").glob("*.py"))
    for name in set(re.findall(r"`(\w+Error)`", text)):
        assert f"class {name}(" in errors
    titles = {
        title
        for path in (GRAFANA / "dashboards").glob("*.json")
        for title in re.findall(r'"title": "([^"]+)"', path.read_text())
    }
    for named in re.findall(r'"([A-Z][^"]+)"', text):
        assert " ".join(named.split()) in titles, named
