"""Holds what the unit tests cover against the list of what they may leave out, and against the least in all.

Usage: coverage_gaps.py [--write]. It reads what `pytest -p tests.unit_coverage` measured. Pure modules are covered
to the last line and branch, but for what `tests/coverage_gaps.yaml` lists with a reason; an entry that is no gap any
more is named. `--write` brings the list up to date: reasons stay, and a new gap is `not yet tested`. Of all modules
together, `fail_under` in pyproject.toml says how much is covered at least.
"""

import ast
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import yaml

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "coverage_gaps.yaml"
LIST_HEAD = """\
# Lines and branches of pure modules that no unit test runs: by file, function and text, so that other changes move
# nothing here. `make coverage` fails on a gap that is not listed; `make gaps` writes it anew and keeps the reasons.
"""
PURE_PACKAGES = ("domain", "errors", "wire", "translate", "fairshare")
MIXED_PACKAGES = ("exchange", "jobs", "endpoints")
"""Packages in which a module is pure if it neither waits nor imports what does I/O or tells the time."""
IMPURE_IMPORTS = {
    "anyio", "asyncio", "datetime", "httpx", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess",
    "threading", "time", "uuid", "gateway.admission", "gateway.clock", "gateway.upstream",
}  # fmt: skip
NEW_REASON = "not yet tested"


class Gap(NamedTuple):
    """A line that no test runs, or a branch from it that none takes."""

    file: str
    function: str
    """The innermost function or class around it, with its path in the module; empty at the module's own level."""
    line: str
    to: str = ""
    """The line that a branch leads to, `exit` for the function's end; empty where the line itself is not run."""

    def __str__(self) -> str:
        where = f"{self.file}, {self.function or 'module'}: `{self.line}`"
        return f"{where} never goes on to `{self.to}`" if self.to else f"{where} is never run"


def main() -> int:
    """Check, or write the list."""
    if sys.argv[1:] not in ([], ["--write"]):
        print("Usage: coverage_gaps.py [--write]", file=sys.stderr)
        return 1
    report, percent, percent_min = _measured()
    listed = read(LIST.read_text()) if LIST.exists() else []
    found = [gap for name in sorted(report) for gap in _gaps_in(name, report[name])]
    if "--write" in sys.argv:
        LIST.write_text(written(found, listed))
        print(f"{LIST.name}: {len(found)} gaps.")
        return 0
    problems, notes = compared(found, [gap for gap, _ in listed])
    print("\n".join([*problems, *notes]))
    print(f"Unit tests cover {percent:.2f} % of lines and branches; {percent_min:g} % are the least.")
    return 1 if problems or percent < percent_min else 0


def _measured() -> tuple[dict[str, dict[str, Any]], float, float]:
    """What coverage.py reports of each file, and the percentage of all that was, and that has to be."""
    measurement = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    if list(ROOT.glob(".coverage.*")):
        measurement.combine()
    else:
        measurement.load()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "coverage.json"
        percent = measurement.json_report(outfile=str(file))
        report = json.loads(file.read_text())
    return report["files"], percent, float(str(measurement.get_option("report:fail_under")))


def _gaps_in(name: str, reported: dict[str, Any]) -> list[Gap]:
    text = (ROOT / name).read_text()
    return gaps(name, text, reported) if is_pure(name, text) else []


def is_pure(name: str, text: str) -> bool:
    """Tell whether a module of the gateway, by its path and text, decides without waiting, I/O and clocks."""
    package = Path(name).parts[1].removesuffix(".py")
    if package not in MIXED_PACKAGES:
        return package in PURE_PACKAGES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            return False
        if any(_is_impure(imported) for imported in _imports(node)):
            return False
    return True


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def _is_impure(module: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in IMPURE_IMPORTS)


def gaps(name: str, text: str, reported: dict[str, Any]) -> list[Gap]:
    """Return what coverage.py reports of a file, by text: lines, and branches between lines that are run."""
    lines = text.splitlines()
    missing = set(reported["missing_lines"])
    functions = _functions(ast.parse(text))

    def told(number: int) -> str:
        return "exit" if number < 0 else lines[number - 1].strip()

    found = [Gap(name, _around(functions, number), told(number)) for number in sorted(missing)]
    for begin, end in reported["missing_branches"]:
        if begin not in missing and end not in missing:
            found.append(Gap(name, _around(functions, begin), told(begin), told(end)))
    return found


Span = tuple[int, int, str]


def _functions(tree: ast.AST, path: str = "") -> list[Span]:
    """First line, last line and path of all functions and classes, outer ones first."""
    spans: list[Span] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{path}.{node.name}" if path else node.name
            spans += [(node.lineno, node.end_lineno or node.lineno, inner), *_functions(node, inner)]
        else:
            spans += _functions(node, path)
    return spans


def _around(functions: list[Span], number: int) -> str:
    return next((path for first, last, path in reversed(functions) if first <= number <= last), "")


def compared(found: list[Gap], listed: list[Gap]) -> tuple[list[str], list[str]]:
    """Return a sentence for each gap that is not listed, and one for each entry that is no gap any more."""
    new, closed = Counter(found) - Counter(listed), Counter(listed) - Counter(found)
    return (
        [f"{gap}. Test it, or list it with a reason: make gaps." for gap in new.elements()],
        [f"{gap}: no gap any more. Take it off the list: make gaps." for gap in closed.elements()],
    )


Listed = list[tuple[Gap, str]]
"""Gaps with their reasons; one that is listed twice is two places of the same text."""


def read(text: str) -> Listed:
    """Return the listed gaps."""
    files = yaml.safe_load(text) or {}
    return [
        (Gap(file, function, entry["line"], entry.get("to", "")), entry["why"])
        for file, functions in files.items()
        for function, entries in functions.items()
        for entry in entries
    ]


def written(found: list[Gap], listed: Listed) -> str:
    """Return the text of the list."""
    reasons: dict[Gap, list[str]] = {}
    for gap, why in listed:
        reasons.setdefault(gap, []).append(why)
    files: dict[str, dict[str, list[dict[str, str]]]] = {}
    for gap in found:
        known = reasons.get(gap)
        entry = {"line": gap.line, **({"to": gap.to} if gap.to else {}), "why": known.pop(0) if known else NEW_REASON}
        files.setdefault(gap.file, {}).setdefault(gap.function, []).append(entry)
    return LIST_HEAD + yaml.safe_dump(files, sort_keys=False, allow_unicode=True, width=200)


if __name__ == "__main__":
    sys.exit(main())
