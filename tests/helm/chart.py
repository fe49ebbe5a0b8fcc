"""Renders the chart with the library that Helm itself is made of."""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import helm_python
import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "fairpod"
VALUES = pathlib.Path(__file__).parent / "values"
RELEASE, NAMESPACE = "prod", "serving"
Manifest = dict[str, Any]


class Rendered:
    """What a release would consist of."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.notes = next(text for name, text in files.items() if name.endswith("NOTES.txt"))
        self._files = {
            name.removeprefix("fairpod/templates/"): text.strip()
            for name, text in sorted(files.items())
            if name.endswith(".yaml") and text.strip()
        }
        self.text = self.text_without()
        self.manifests: list[Manifest] = [each for each in yaml.load_all(self.text, StrictLoader) if each]

    def text_without(self, *names: str) -> str:
        """Everything that would be applied, but for what some templates made."""
        return "".join(f"---\n# {name}\n{text}\n" for name, text in self._files.items() if name not in names)

    def all(self, kind: str) -> list[Manifest]:
        """The manifests of a kind."""
        return [each for each in self.manifests if each["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        """The only manifest of a kind."""
        (found,) = self.all(kind)
        return found

    @property
    def pod(self) -> dict[str, Any]:
        """The pods' specification."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        """The one container."""
        (container,) = self.pod["containers"]
        found: dict[str, Any] = container
        return found

    @property
    def config(self) -> dict[str, Any]:
        """The gateway's file."""
        (found,) = (each for each in self.all("ConfigMap") if "fairpod.yaml" in each["data"])
        config: dict[str, Any] = yaml.safe_load(found["data"]["fairpod.yaml"])
        return config


class StrictLoader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a key that stands twice is an error, where PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002
        """Refuse a repeated key."""
        keys = [self.construct_object(key) for key, _ in node.value]
        repeated = [key for key in keys if keys.count(key) > 1]
        assert not repeated, repeated
        return super().construct_mapping(node, deep)


@functools.cache
def chart() -> helm_python.Chart:
    """The chart, loaded once: it cannot be changed."""
    return helm_python.Chart.load(CHART)


def values_of(name: str) -> dict[str, Any]:
    """One of the files of values, read as Helm reads it."""
    return helm_python.values_from_yaml((VALUES / f"{name}.yaml").read_text())


def render(values: dict[str, Any], *, source: helm_python.Chart | None = None) -> Rendered:
    """Render a release."""
    return Rendered((source or chart()).render(values, name=RELEASE, namespace=NAMESPACE))


def with_values(name: str, *expressions: str) -> dict[str, Any]:
    """A file of values, and what `--set` would change in it."""
    return functools.reduce(merge, map(helm_python.parse_set_string, expressions), values_of(name))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, as Helm does: what is not a mapping is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
