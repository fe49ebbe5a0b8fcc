"""Compare two configurations, and decide whether the changes can be applied without a restart. Pure.

A file with a change that needs a restart is rejected as a whole, as Prometheus and nginx do. So the running
configuration is always one complete version of the file: the current or the previous one.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from gateway.config.loader import ConfigError, Problem
from gateway.config.schema import Config, EndpointSection, ModelSection, TenantSection

_TAKEN = {"models", "tenants", "guest", "drain_s", "body_bytes_max"}
_TAKEN_OF_ENDPOINTS = {
    "api_key",
    "api_key_file",
    "route",
    "max_in_flight",
    "max_in_flight_cold",
    "min_workers",
    "queue_timeout_s",
    "cold_start_timeout_s",
    "execution_timeout_s",
}
"""Other settings of an endpoint need a restart: call budgets, running jobs and other replicas depend on them."""
_NAMED: dict[type, Callable[[Any], str]] = {
    EndpointSection: lambda section: section.name,
    ModelSection: lambda section: section.id,
    TenantSection: lambda section: section.name,
}
"""Types of sections in lists, with the function that returns a section's name."""


class Change(msgspec.Struct, frozen=True):
    """Describe one difference, without its values, which may be keys."""

    path: str
    how: str
    is_taken: bool
    """True if it can be applied without a restart."""

    def __str__(self) -> str:
        """Return the text for the log."""
        return f"{self.path} {self.how}"


def changes(running: Config, read: Config) -> list[Change]:
    """Return all differences, which can all be applied without a restart.

    Raises:
        ConfigError: Some differences need a restart; `problems` lists these.
    """
    found = list(_differences(running, read, ""))
    if problems := [
        Problem(change.path, f"{change.how}: requires a restart") for change in found if not change.is_taken
    ]:
        raise ConfigError(problems)
    return found


def _differences(old: msgspec.Struct, new: msgspec.Struct, above: str) -> Iterator[Change]:
    """Yield the differences between two sections of the same type."""
    for field in old.__struct_fields__:
        before, after, path = getattr(old, field), getattr(new, field), f"{above}{field}"
        if before == after:
            continue
        if isinstance(before, list) and before and type(before[0]) in _NAMED:
            yield from _differences_by_name(before, after, path)
        elif isinstance(before, msgspec.Struct) and type(before) is type(after):
            yield from _differences(before, after, f"{path}.")
        else:
            yield _change(path, "added" if before is None else "removed" if after is None else "changed")


def _differences_by_name(old: list[Any], new: list[Any], path: str) -> Iterator[Change]:
    before, after = ({_NAMED[type(section)](section): section for section in sections} for sections in (old, new))
    for name in before:
        if name not in after:
            yield _change(f"{path}[{name}]", "removed")
    for name, section in after.items():
        if name not in before:
            yield _change(f"{path}[{name}]", "added")
        else:
            yield from _differences(before[name], section, f"{path}[{name}].")
    if before.keys() == after.keys() and list(before) != list(after):
        yield _change(path, "reordered")


def _change(path: str, how: str) -> Change:
    section, _, rest = path.partition("[")
    is_soft = section == "endpoints" and rest.rpartition("].")[2] in _TAKEN_OF_ENDPOINTS
    return Change(path, how, is_taken=is_soft or section.partition(".")[0] in _TAKEN)
