"""The part of values.schema.json that follows from the gateway's own types: what `config` may hold."""

import json
from typing import Any

import msgspec

from gateway.config.schema import Config
from gateway.domain import Operation
from tests.helm.chart import CHART

SCHEMA = CHART / "values.schema.json"
VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
READ_BY_THE_CHART = {("Listen", "host"), ("Listen", "port"), ("Config", "metrics_port"), ("Config", "drain_s")}
"""The chart makes ports and deadlines of these, so no variable can stand for them."""
PORT_MIN = 1024
"""The container has no right to a smaller one."""


def definitions_of_config() -> dict[str, Any]:
    """The definitions, as they have to stand in the chart's schema."""
    given = msgspec.json.schema(Config)["$defs"]
    enums = {name: node["enum"] for name, node in given.items() if "enum" in node}
    made = {_name(name): _section(name, node, enums) for name, node in given.items() if name not in enums}
    del made[_name("Config")]["required"]
    return made | {"configVariable": VARIABLE}


def write_definitions() -> None:
    """Bring the chart's schema up to date with the gateway's types."""
    schema = json.loads(SCHEMA.read_text())
    rest = {name: node for name, node in schema["definitions"].items() if not name.startswith("config")}
    schema["definitions"] = rest | definitions_of_config()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")


def _name(name: str) -> str:
    return f"config{name.removesuffix('Section')}" if name != "Config" else "config"


def _section(section: str, node: dict[str, Any], enums: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in node.items() if key not in {"title", "default"}}
    made["properties"] = {
        name: _field(field, enums, is_plain=(section, name) in READ_BY_THE_CHART)
        for name, field in node["properties"].items()
    }
    for name in ("port", "metrics_port"):
        if (section, name) in READ_BY_THE_CHART and name in made["properties"]:
            kind = ["integer", "null"] if name == "metrics_port" else "integer"
            made["properties"][name] = {"type": kind, "minimum": PORT_MIN, "maximum": 65535}
    return made


def _field(node: dict[str, Any], enums: dict[str, Any], *, is_plain: bool) -> dict[str, Any]:
    """A field, with a variable as one more thing that it may be: it is put in before the gateway looks."""
    node = {key: value for key, value in node.items() if key not in {"title", "default"}}
    if "anyOf" in node:
        return {"anyOf": _alternatives(node["anyOf"], enums, is_plain=is_plain)}
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        return _scalar({"enum": enums[name]}, is_plain) if name in enums else _reference(name)
    if node.get("type") == "array":
        return node | {"items": _field(node["items"], enums, is_plain=is_plain)}
    if isinstance(values := node.get("additionalProperties"), dict):
        each = _field(values, enums, is_plain=is_plain)
        if names := node.pop("propertyNames", None):
            return node | {"patternProperties": {names["pattern"]: each}, "additionalProperties": False}
        # The other mapping is keyed by operations, and those can be counted.
        return node | {"properties": {each_of.value: each for each_of in Operation}, "additionalProperties": False}
    return _scalar(node, is_plain)


def _alternatives(nodes: list[dict[str, Any]], enums: dict[str, Any], *, is_plain: bool) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for node in nodes:
        field = _field(node, enums, is_plain=is_plain)
        made += [each for each in field.get("anyOf", [field]) if each not in made]
    return made


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{_name(name)}"}


def _scalar(node: dict[str, Any], is_plain: bool) -> dict[str, Any]:
    if is_plain or node in ({"type": "string"}, {"type": "null"}):
        return node
    return {"anyOf": [node, _reference("Variable")]}
