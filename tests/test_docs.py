"""What the README says is there, and what is there the README says."""

import pathlib
import re

import msgspec
import pytest

from gateway.cli import COMMANDS
from gateway.config import schema as sections
from gateway.observability.metrics import Metrics

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "section",
    [
        sections.Config,
        sections.Listen,
        sections.Clients,
        sections.EndpointSection,
        sections.ModelSection,
        sections.TenantSection,
        sections.State,
        sections.GuestSection,
        sections.Logs,
        sections.Traces,
        sections.KeySection,
    ],
)
def test_every_configuration_key_is_explained(section: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(section):
        assert re.search(rf"[`.\[{{ ]{field.name}\b", README), field.name


def test_every_metric_is_listed() -> None:
    rendered = Metrics(version="x", read=lambda: ()).render()[0].decode()
    names = set(re.findall(r"^# TYPE gateway_(\w+)", rendered, re.MULTILINE))
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in README, name


def test_every_command_is_listed() -> None:
    for name in COMMANDS:
        assert f"fairpod {name}" in README


def test_every_error_code_is_listed() -> None:
    source = "".join(path.read_text() for path in (ROOT / "gateway" / "translate").rglob("*.py"))
    codes = set(re.findall(r'code(?:: str \| None)? ?= ?"([a-z_]+)"', source))
    codes |= set(re.findall(r'\d{3}, "([a-z_]+)"', source))
    codes -= {"invalid_request_error", "rate_limit_error"}
    assert len(codes) > 8
    for code in codes:
        assert f"`{code}`" in README, code


def test_the_lock_files_name_no_index() -> None:
    locks = [*(ROOT / "requirements").glob("*.txt"), ROOT / "tests" / "clients" / "node" / "package-lock.json"]
    assert len(locks) == 6
    for lock in locks:
        text = lock.read_text()
        assert "--index" not in text
        assert '"resolved"' not in text
        if lock.suffix == ".txt":
            assert not re.search(r"https?://", text)
            assert text.count("==") <= text.count("--hash=sha256:")


def test_the_image_is_made_of_what_is_there() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    allowed = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in allowed
    assert "USER 10001" in dockerfile
    assert "HEALTHCHECK" in dockerfile
