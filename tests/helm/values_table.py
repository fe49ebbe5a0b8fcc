"""The table of values in the chart's README, made of the comments in values.yaml."""

import functools
import json
import re
from typing import Any

import yaml

from tests.helm.chart import CHART

README = CHART / "README.md"
DEFAULT_LENGTH_MAX = 60
_KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z]+):")


def rows() -> dict[str, str]:
    """Each value that has a comment, and the comment, in the order of the file."""
    found: dict[str, str] = {}
    path: list[str] = []
    comment = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            comment = text.removeprefix("# -- ")
        elif text.startswith("#") and comment:
            comment += f" {text.removeprefix('#').strip()}"
        elif match := _KEY.match(line):
            path = [*path[: len(match["indent"]) // 2], match["name"]]
            if comment:
                found[".".join(path)] = comment
            comment = ""
    return found


@functools.cache
def defaults() -> dict[str, Any]:
    """What values.yaml holds."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def default_of(path: str) -> Any:
    """The default of one value."""
    value: Any = defaults()
    for name in path.split("."):
        value = value[name]
    return value


def table() -> str:
    """The table, in Markdown."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, text in rows().items():
        default = json.dumps(default_of(path), ensure_ascii=False)
        shown = f"`{default}`" if len(default) <= DEFAULT_LENGTH_MAX else "see values.yaml"
        lines.append(f"| `{path}` | {shown} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def readme() -> str:
    """The README as it should be: the text that is there, and the table as its last part."""
    before = README.read_text().split("| value |")[0]
    return before + table()
