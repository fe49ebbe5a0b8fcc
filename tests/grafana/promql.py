"""As much of PromQL as it takes to find the metrics that a query reads."""

import re

import msgspec

WINDOW = "10s"
"""What `$__rate_interval` and `$__range` stand for in the tests."""

_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<matchers>\{(?:"(?:\\.|[^"\\])*"|[^}"])*\})"""
    r"""|(?P<window>\[[^\]]*\])"""
    r"""|(?P<number>\d[\w.]*)"""
    r"""|(?P<name>[A-Za-z_:][\w:]*)"""
    r"""|(?P<other>\S)"""
)
_MATCHER = re.compile(r"""(\w+)\s*(?:=~|!~|!=|=)\s*(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_BEFORE_LABELS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_OPERATORS = {"and", "or", "unless", "bool", "offset", "atan2"}


class Selector(msgspec.Struct, frozen=True):
    """A metric in a query, with what follows it in braces."""

    name: str
    matchers: str = ""

    def __str__(self) -> str:
        return self.name + self.matchers

    @property
    def labels(self) -> set[str]:
        return set(_MATCHER.findall(self.matchers))


def selectors(expression: str) -> list[Selector]:
    """Every metric that a query reads."""
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(expression)]
    found: list[Selector] = []
    position = 0
    while position < len(tokens):
        kind, text = tokens[position]
        following = tokens[position + 1] if position + 1 < len(tokens) else ("", "")
        position += 1
        if kind != "name" or text in _OPERATORS:
            continue
        if text in _BEFORE_LABELS and following[1] == "(":
            position = next(i for i in range(position, len(tokens)) if tokens[i][1] == ")") + 1
        elif following[1] != "(" and text not in _AGGREGATIONS:
            found.append(Selector(text, following[1] if following[0] == "matchers" else ""))
    return found


_AGGREGATIONS = {"sum", "avg", "min", "max", "count", "group", "topk", "bottomk", "quantile", "stddev", "stdvar"}
"""These may have `by (...)` between them and their bracket."""


def filled(expression: str) -> str:
    """A dashboard's query as Grafana sends it when everything is picked."""
    for name, value in {"__rate_interval": WINDOW, "__range": WINDOW}.items():
        expression = expression.replace(f"${name}", value)
    return re.sub(r"\$(tenant|model|endpoint)\b", ".*", expression)
