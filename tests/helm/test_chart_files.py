"""What is committed about the chart: snapshots, its README, and the files that others fill."""

import functools
import itertools
import json
import pathlib
import re
import shlex
import shutil

import helm_python
import pytest
import yaml

from tests.helm.chart import CHART, merge, render, values_of
from tests.helm.snapshots_of import assert_is_committed
from tests.helm.values_table import README, defaults, readme, rows

SNAPSHOTS = pathlib.Path(__file__).parent / "snapshots"
SNAPPED = ["everything", "minimal", "replicas-redis"]


@pytest.mark.parametrize("case", SNAPPED)
def test_the_manifests_are_those_that_were_read(case: str) -> None:
    # Rules and dashboards come from files that are committed already.
    text = render(values_of(case)).text_without("prometheusrule.yaml", "dashboards.yaml")
    assert_is_committed(SNAPSHOTS / f"{case}.yaml", text)


def test_no_snapshot_is_left_over() -> None:
    assert sorted(file.stem for file in SNAPSHOTS.iterdir()) == SNAPPED


def test_the_readme_lists_every_value() -> None:
    assert_is_committed(README, readme())


def test_every_value_has_a_comment() -> None:
    explained = set(rows())

    def unexplained(values: dict[str, object], path: str) -> list[str]:
        found: list[str] = []
        for name, value in values.items():
            here = f"{path}{name}"
            if here in explained:
                continue
            found += unexplained(value, f"{here}.") if isinstance(value, dict) and value else [here]
        return found

    assert unexplained(defaults(), "") == []


def test_rules_and_dashboards_are_taken_as_they_are(tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "fairpod"
    shutil.copytree(CHART, copy)
    for file in (copy / "files" / "dashboards").glob("*.json"):
        file.unlink()
    rule = {
        "alert": "FairpodTest",
        "expr": 'sum by (tenant) (rate(gateway_requests_total{outcome!="ok"}[5m])) > 0.1',
        "for": "5m",
        "labels": {"severity": "page"},
        "annotations": {"summary": "{{ $labels.tenant }} at {{ $value | humanizePercentage }}"},
    }
    groups = [{"name": "fairpod", "rules": [rule]}]
    (copy / "files" / "alerts.yaml").write_text(yaml.safe_dump({"groups": groups}))
    board = {"title": "Fair share", "panels": [{"legendFormat": "{{tenant}}", "text": "a\n---\nb: |\n  c"}]}
    names = ["Fair share.json", "overview.json"]
    for name in names:
        (copy / "files" / "dashboards" / name).write_text(json.dumps(board, indent=2) + "\n")
    (copy / "files" / "dashboards" / "notes.txt").write_text("not a dashboard")
    with helm_python.Chart.load(copy) as other:
        rendered = render(values_of("everything"), source=other)
    assert rendered.one("PrometheusRule")["spec"]["groups"] == groups
    boards = [each for each in rendered.all("ConfigMap") if "fairpod.yaml" not in each["data"]]
    assert [each["metadata"]["name"] for each in boards] == ["llm-gateway-fair-share", "llm-gateway-overview"]
    for each, name in zip(boards, names, strict=True):
        assert each["metadata"]["labels"]["dashboards"] == "yes"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Language models"}
        assert json.loads(each["data"][name]) == board


def test_the_files_that_are_there_make_objects() -> None:
    rendered = render(values_of("everything"))
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    assert rendered.one("PrometheusRule")["spec"]["groups"] == alerts["groups"]
    boards = sorted((CHART / "files" / "dashboards").glob("*.json"))
    rendered_names = [name for each in rendered.all("ConfigMap") for name in each["data"] if name.endswith(".json")]
    assert sorted(rendered_names) == [file.name for file in boards]


def examples(language: str) -> list[str]:
    text = README.read_text().replace("sha256:...", f"sha256:{'0' * 64}")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_command_in_the_readme_installs() -> None:
    commands, _ = examples("sh")
    words = shlex.split(commands)
    expressions = [word for flag, word in itertools.pairwise(words) if flag == "--set"]
    rendered = render(functools.reduce(merge, map(helm_python.parse_set_string, expressions), {}))
    assert rendered.container["image"].startswith("REGISTRY/fairpod:")
    (literal,) = (word.partition("=")[2] for word in words if word.startswith("--from-literal="))
    reference = rendered.container["env"][0]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": words[words.index("generic") + 1], "key": literal.partition("=")[0]}


def test_the_values_in_the_readme_render() -> None:
    whole, *parts = (helm_python.values_from_yaml(each) for each in examples("yaml"))
    assert render(whole).manifests
    values = [part for part in parts if not {"rules", "scrape_configs"} & part.keys()]
    assert len(values) == 4
    for part in values:
        assert render(merge(whole, part)).manifests
