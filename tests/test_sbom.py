"""The bill of materials, against the lock files that it is made from."""

import json
import pathlib
import re
from typing import Any
from urllib.parse import quote

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from scripts.sbom import SCHEMA, bill_of_materials

ROOT = pathlib.Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def packages(lock: str) -> dict[tuple[str, str], set[str]]:
    """Read the hashes by name and version, in another way than the script does; some have a version for each Python."""
    found: dict[tuple[str, str], set[str]] = {}
    hashes: set[str] = set()
    for line in lock.splitlines():
        if head := re.match(r"^(\S+?)==(\S+)", line):
            hashes = found.setdefault((head[1], head[2]), set())
        hashes.update(re.findall(r"sha256:(\w+)", line))
    return found


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_every_package_is_in_it_with_its_version_and_hashes(file: pathlib.Path) -> None:
    document: dict[str, Any] = json.loads(bill_of_materials(file.read_text()))
    expected = packages(file.read_text())
    assert len(expected) > 5
    assert all(expected.values())
    listed = {}
    for component in document["components"]:
        (reference,) = component["externalReferences"]
        assert {each["alg"] for each in reference["hashes"]} == {"SHA-256"}
        listed[component["name"], component["version"]] = {each["content"] for each in reference["hashes"]}
        assert component["purl"] == f"pkg:pypi/{component['name']}@{quote(component['version'])}"
    assert listed == expected
    (root,) = (each for each in document["dependencies"] if each["ref"] == "fairpod")
    assert len(root["dependsOn"]) == len(expected)


def test_it_is_valid_cyclonedx() -> None:
    document = bill_of_materials((ROOT / "requirements" / "runtime.txt").read_text())
    assert JsonStrictValidator(SCHEMA).validate_str(document) is None
    (component,) = (each for each in json.loads(document)["components"] if each["name"] == "colorama")
    assert component["properties"] == [{"name": "fairpod:marker", "value": "sys_platform == 'win32'"}]


@pytest.mark.parametrize("line", ["anyio>=4", "anyio==4.1", "git+https://example.com/x", "-e ."])
def test_a_line_without_a_version_or_a_hash_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="no package with its version and a hash"):
        bill_of_materials(line)


def test_the_same_lock_makes_the_same_serial_number() -> None:
    lock = "anyio==1 --hash=sha256:" + "a" * 64
    first, second = (json.loads(bill_of_materials(lock))["serialNumber"] for _ in range(2))
    assert first == second


def test_the_images_base_is_pinned_by_its_digest() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", bases[0])
