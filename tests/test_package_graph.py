from scripts.package_graph import DOCUMENT, diagram, imports, reduced, with_diagram


def test_the_diagram_in_contributing_is_current() -> None:
    text = DOCUMENT.read_text()
    assert with_diagram(text, diagram(reduced(imports()))) == text, "run python scripts/package_graph.py"


def test_an_import_that_follows_from_others_is_left_out() -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_a_package_without_imports_is_drawn() -> None:
    drawn = diagram({"a": {"b"}, "b": set(), "alone": set()})
    assert drawn.splitlines() == ["```mermaid", "flowchart TD", "    a --> b", "    alone", "```"]
