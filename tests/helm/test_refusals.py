"""What the chart refuses, and the sentence it does it with."""

from typing import Any

import helm_python
import pytest
import yaml

from tests.helm.chart import CHART, VALUES, merge, render, values_of, with_values

REFUSED: dict[str, dict[str, Any]] = yaml.safe_load((VALUES / "refused.yaml").read_text())


def values_for(case: dict[str, Any]) -> dict[str, Any]:
    base = values_of(case["base"]) if "base" in case else {}
    return merge(base, case.get("values", {}))


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_sentence(name: str) -> None:
    case = REFUSED[name]
    with pytest.raises(helm_python.HelmRenderError) as refused:
        render(values_for(case))
    place, *sentences = str(refused.value).splitlines()
    assert place.startswith("execution error at (fairpod/templates/deployment.yaml:1:")
    assert sentences == [case["sentence"].strip()]
    assert case.get("unsaid", "no such text") not in str(refused.value)


@pytest.mark.parametrize("base", sorted({case["base"] for case in REFUSED.values() if "base" in case}))
def test_what_the_refusals_stand_on_is_not_refused(base: str) -> None:
    assert render(values_of(base)).manifests


def test_all_problems_are_said_at_once() -> None:
    values = with_values(
        "minimal", "replicas=2,service.type=NodePort,config.listen.host=localhost,config.metrics_port=null"
    )
    with pytest.raises(helm_python.HelmRenderError) as refused:
        render(values)
    assert len(str(refused.value).splitlines()) == 5


@pytest.mark.parametrize("name", REFUSED)
def test_lint_still_reads_it(name: str) -> None:
    """`helm lint` goes on after a refusal: no template may stumble over what the refusal is about."""
    report = helm_python.lint(CHART, values_for(REFUSED[name]), strict=True)
    assert report["errors"] == []
