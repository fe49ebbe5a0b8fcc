"""Every object of the chart is one that Kubernetes takes, and they fit each other."""

import copy
import pathlib
from typing import Any

import helm_python
import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from tests.helm.chart import CHART, NAMESPACE, VALUES, Manifest, Rendered, chart, render, values_of
from tests.helm.crd_shapes import SHAPES

CASES = sorted(file.stem for file in VALUES.glob("*.yaml") if file.stem != "refused")
OLDEST, NEWEST = "1.30", "1.37"


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def rendered(case: str) -> Rendered:
    return render(values_of(case))


def test_the_matrix_is_whole() -> None:
    assert CASES == [
        "everything", "existing-configmap", "existing-secrets", "metrics-port", "minimal", "replicas-redis",
    ]  # fmt: skip


def test_the_library_is_helm_itself() -> None:
    assert helm_python.helm_sdk_version().startswith("v4.")
    assert chart().metadata["kubeVersion"] == f">={OLDEST}.0-0"


def test_helm_lint_finds_nothing(case: str) -> None:
    for version in (OLDEST, NEWEST):
        report = helm_python.lint(CHART, values_of(case), strict=True, namespace=NAMESPACE, kube_version=f"v{version}")
        assert report["errors"] == []
        assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_manifest_is_valid(rendered: Rendered, version: str) -> None:
    for manifest in rendered.manifests:
        validate(manifest, version)


def validate(manifest: Manifest, version: str) -> None:
    if manifest["kind"] in SHAPES:
        jsonschema.validate(manifest, SHAPES[manifest["kind"]])
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


PLANTED: dict[str, tuple[str, list[str | int], Any]] = {
    "an unknown field": ("Deployment", ["spec", "template", "spec", "containers", 0, "readOnly"], True),
    "a wrong type": ("Deployment", ["spec", "replicas"], "two"),
    "an unknown field of a policy": ("NetworkPolicy", ["spec", "egres"], []),
    "an unknown field of a monitor": ("ServiceMonitor", ["spec", "endpoint"], []),
    "a wrong duration": ("HTTPRoute", ["spec", "rules", 0, "timeouts", "request"], "1 hour"),
    "rules that are none": ("PrometheusRule", ["spec", "groups"], None),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_mistake_is_found(plant: str) -> None:
    kind, path, value = PLANTED[plant]
    manifest: Any = copy.deepcopy(render(values_of("everything")).one(kind))
    validate(manifest, NEWEST)
    node = manifest
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(manifest, NEWEST)


def test_everything_is_made_once_everything_is_on() -> None:
    kinds = {each["kind"] for each in render(values_of("everything")).manifests}
    assert kinds == {
        "ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy",
        "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor",
    }  # fmt: skip
    kinds = {each["kind"] for each in render(values_of("minimal")).manifests}
    assert kinds == {
        "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount",
    }  # fmt: skip


def test_everything_differs_from_the_defaults() -> None:
    given, defaults = values_of("everything"), chart().values
    same = {".".join(path) for path in leaves(defaults) if at(given, path) in (None, at(defaults, path))}
    same = {path for path in same if not path.startswith(("simple.", "existingConfig.", "ingress.annotations."))}
    # What is on already, and what excludes something else that is set; the other files of the matrix set those.
    assert same == {
        "networkPolicy.enabled", "podDisruptionBudget.enabled", "serviceAccount.create", "state.redis.existingSecret",
        "state.redis.key", "state.redis.tls.caInUrl",
    }  # fmt: skip


def leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, item in value.items():
        found += leaves(item, (*path, name)) if isinstance(item, dict) and item else [(*path, name)]
    return found


def at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def test_names_are_unique_and_in_the_release(rendered: Rendered) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered.manifests]
    assert len(names) == len(set(names))
    for manifest in rendered.manifests:
        assert manifest["metadata"]["namespace"] == NAMESPACE
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "prod"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


def test_selectors_find_the_pods(rendered: Rendered) -> None:
    deployment = rendered.one("Deployment")
    pods = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        *(each["spec"]["selector"] for each in rendered.all("Service")),
        *(each["spec"]["selector"]["matchLabels"] for each in rendered.all("PodDisruptionBudget")),
        *(each["spec"]["podSelector"]["matchLabels"] for each in rendered.all("NetworkPolicy")),
        *(each["labelSelector"]["matchLabels"] for each in rendered.pod["topologySpreadConstraints"]),
    ]
    assert len(selectors) >= 5
    for selector in selectors:
        assert selector.items() <= pods.items()
        assert "app.kubernetes.io/instance" in selector
        # What changes with a version is in no selector: a Deployment's cannot be changed.
        assert not any("version" in name or "chart" in name for name in selector)


def test_ports_meet(rendered: Rendered) -> None:
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in rendered.all("Service")}
    for each in services.values():
        assert all(port["targetPort"] in ports for port in each)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert rendered.container[probe]["httpGet"]["port"] == "http"
    for route in rendered.all("HTTPRoute"):
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            assert backend["port"] in [port["port"] for port in services[backend["name"]]]
    for ingress in rendered.all("Ingress"):
        for rule in ingress["spec"]["rules"]:
            backend = rule["http"]["paths"][0]["backend"]["service"]
            assert backend["port"]["name"] in [port["name"] for port in services[backend["name"]]]
    for monitor in rendered.all("ServiceMonitor"):
        (found,) = (
            each
            for each in rendered.all("Service")
            if monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
        )
        assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in found["spec"]["ports"]]


def test_what_is_mounted_is_there(rendered: Rendered) -> None:
    volumes = {each["name"]: each for each in rendered.pod["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in rendered.container["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    paths = sorted(mounts.values())
    # A mount within a read-only mount has no folder to stand on.
    assert not any(below.startswith(f"{above}/") for above in paths for below in paths)


def test_long_names_still_fit() -> None:
    files = chart().render(values_of("everything") | {"fullnameOverride": ""}, name="r" * 53, namespace=NAMESPACE)
    for manifest in Rendered(files).manifests:
        assert len(manifest["metadata"]["name"]) <= 63
        validate(manifest, NEWEST)


def test_an_archive_renders_the_same(tmp_path: pathlib.Path) -> None:
    archive = chart().save(tmp_path)
    with helm_python.Chart.load(archive) as packed:
        assert render(values_of("everything"), source=packed).text == render(values_of("everything")).text
        assert not [each["name"] for each in packed.files if each["name"].endswith(".gitkeep")]
