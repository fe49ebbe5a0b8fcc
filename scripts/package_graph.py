"""Draw the packages of the gateway and their imports as a Mermaid diagram in CONTRIBUTING.md.

Usage: package_graph.py. An import that follows from others by way of a third package is left out (transitive
reduction). A test fails if the diagram is not the one that this script would write.
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GATEWAY = ROOT / "gateway"
DOCUMENT = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- packages: written by scripts/package_graph.py -->\n", "<!-- /packages -->\n"
HIDDEN = frozenset({"__init__", "__main__", "__version__", "domain", "errors", "clock"})
"""Left out: nearly every package imports them."""

Graph = dict[str, set[str]]


def main() -> int:
    """Write the diagram; 0 always."""
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(with_diagram(text, diagram(reduced(imports()))))
    return 0


def imports() -> Graph:
    """Return the packages and top-level modules that each of them imports."""
    graph: Graph = {}
    for path in sorted(GATEWAY.rglob("*.py")):
        package = path.relative_to(GATEWAY).parts[0].removesuffix(".py")
        if package in HIDDEN:
            continue
        found = graph.setdefault(package, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "gateway":
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway."):
                found.add((node.module or "").split(".")[1])
    return {package: found - HIDDEN - {package} for package, found in graph.items()}


def reduced(graph: Mapping[str, set[str]]) -> Graph:
    """Return the graph without the edges that follow from others."""
    below: dict[str, set[str]] = {}

    def reach(package: str) -> set[str]:
        if package not in below:
            below[package] = set()
            for each in graph.get(package, ()):
                below[package] |= {each} | reach(each)
        return below[package]

    return {
        package: {each for each in found if not any(each in reach(other) for other in found - {each})}
        for package, found in graph.items()
    }


def diagram(graph: Mapping[str, set[str]]) -> str:
    """Return the graph in Mermaid's syntax, importing packages above imported ones."""
    edges = [f"    {package} --> {each}" for package in sorted(graph) for each in sorted(graph[package])]
    alone = [
        f"    {package}"
        for package in sorted(graph)
        if not graph[package] and package not in set().union(*graph.values())
    ]
    return "\n".join(["```mermaid", "flowchart TD", *edges, *alone, "```", ""])


def with_diagram(document: str, drawn: str) -> str:
    """Return the document with this diagram between the two marks.

    Raises:
        ValueError: A mark is missing.
    """
    start = document.index(BEGIN) + len(BEGIN)
    return document[:start] + drawn + document[document.index(END, start) :]


if __name__ == "__main__":
    sys.exit(main())
