"""Writes a CycloneDX bill of materials for each lock file: every package with its version, and its files' hashes.

Usage: sbom.py FOLDER FILE..., requirements files with versions and hashes.
"""

import re
import sys
import uuid
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from gateway import __version__

SCHEMA = SchemaVersion.V1_6
_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)\s*(?:;\s*(?P<marker>.*?))?\s*(?=--hash|$)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main() -> int:
    """Write one document for each file."""
    if len(sys.argv) < 3:
        print("Usage: sbom.py FOLDER FILE...", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        file = Path(name)
        made = folder / f"fairpod-{__version__}-{file.stem}.cdx.json"
        made.write_text(bill_of_materials(file.read_text()) + "\n")
        print(made)
    return 0


def bill_of_materials(lock: str) -> str:
    """Return the document for what a lock file holds, as JSON.

    Raises:
        ValueError: A line is no package with its version and a hash.
    """
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, lock))
    root = Component(
        name="fairpod",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="fairpod",
        purl=PackageURL("pypi", name="fairpod", version=__version__),
    )
    bom.metadata.component = root
    packages = [_component(entry) for entry in _entries(lock)]
    bom.components.update(packages)
    # The lock does not say which package asks for which.
    bom.register_dependency(root, packages)
    return make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)


def _entries(lock: str) -> list[str]:
    lines = lock.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _component(entry: str) -> Component:
    found, hashes = _ENTRY.match(entry), _HASH.findall(entry)
    if found is None or not hashes:
        raise ValueError(f"no package with its version and a hash: {entry[:80]}")
    name, version, marker = found["name"], found["version"], found["marker"]
    purl = PackageURL("pypi", name=name, version=version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/simple/{name}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in hashes],
    )
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        external_references=[files],
        # Only where this holds is the package installed.
        properties=[Property(name="fairpod:marker", value=marker)] if marker else [],
    )


if __name__ == "__main__":
    sys.exit(main())
