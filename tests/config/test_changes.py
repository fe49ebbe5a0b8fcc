import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.config.changes import changes
from gateway.config.keys import key_line
from gateway.config.loader import ConfigError, parse_config
from gateway.config.schema import Config, EndpointSection
from tests.stacks import config_of

RUNNING = {
    **config_of("http://127.0.0.1:1"),
    "tenants": [
        {"name": "acme", "keys": [key_line("a")], "weight": 3},
        {"name": "beta", "keys": [key_line("b")]},
    ],
}
Edit = Callable[[Any], object]


def found(*edits: Edit) -> list[str]:
    raw = copy.deepcopy(RUNNING)
    for edit in edits:
        edit(raw)
    return [str(change) for change in changes(parse_config(RUNNING, {}), parse_config(raw, {}))]


def refused(*edits: Edit) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        found(*edits)
    return [str(problem) for problem in caught.value.problems]


def put(section: str, index: int, **fields: Any) -> Edit:
    return lambda raw: raw[section][index].update(fields)


def test_the_same_file_changes_nothing() -> None:
    assert found() == []
    assert found(lambda raw: raw.update(drain_s=30, listen={"port": 8080})) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("tenants", 0, weight=1), ["tenants[acme].weight changed"]),
        (put("tenants", 0, keys=[]), ["tenants[acme].keys changed"]),
        (
            put("tenants", 1, models=["m"], max_in_flight=2),
            ["tenants[beta].models changed", "tenants[beta].max_in_flight added"],
        ),
        (put("tenants", 1, name="gamma"), ["tenants[beta] removed", "tenants[gamma] added"]),
        (lambda raw: raw["tenants"].reverse(), ["tenants reordered"]),
        (put("models", 0, id="m2"), ["models[m] removed", "models[m2] added"]),
        (
            put("models", 1, upstream="x", kind="chat"),
            ["models[org/with-slash].upstream added", "models[org/with-slash].kind added"],
        ),
        (lambda raw: raw.update(guest={"weight": 2}), ["guest added"]),
        (lambda raw: raw.update(drain_s=5, body_bytes_max=2048), ["drain_s changed", "body_bytes_max changed"]),
        (
            put("endpoints", 0, api_key="rpa_other", queue_timeout_s=3),
            ["endpoints[chat].api_key changed", "endpoints[chat].queue_timeout_s changed"],
        ),
        (
            put("endpoints", 0, max_in_flight=3, route="auto"),
            ["endpoints[chat].route changed", "endpoints[chat].max_in_flight changed"],
        ),
    ],
)
def test_what_is_taken_is_named_by_its_place_and_never_by_its_value(edit: Edit, expected: list[str]) -> None:
    assert found(edit) == expected


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (lambda raw: raw.update(listen={"port": 9000}), "listen.port changed"),
        (lambda raw: raw.update(metrics_port=9000), "metrics_port added"),
        (lambda raw: raw.pop("metrics_port"), "metrics_port added"),
        (lambda raw: raw.update(clients={"connections_max": 5}), "clients.connections_max changed"),
        (lambda raw: raw.update(logs={"format": "json"}), "logs.format changed"),
        (lambda raw: raw.update(state={"on_outage": "open"}), "state.on_outage changed"),
        (put("endpoints", 0, id="other"), "endpoints[chat].id changed"),
        (put("endpoints", 0, base_url="http://127.0.0.1:2"), "endpoints[chat].base_url changed"),
        (put("endpoints", 0, worker="text"), "endpoints[chat].worker changed"),
        (put("endpoints", 0, share_by="tokens"), "endpoints[chat].share_by changed"),
        (put("endpoints", 0, limits={"run": {"per_10s": 1, "concurrent": 1}}), "endpoints[chat].limits changed"),
        (lambda raw: raw["endpoints"].append({**raw["endpoints"][0], "name": "two"}), "endpoints[two] added"),
    ],
)
def test_what_needs_a_restart_is_named_and_nothing_beside_it_is_taken(edit: Edit, path: str) -> None:
    where, how = path.split(" ")
    assert refused(put("tenants", 0, weight=1), edit) == [f"{where}: {how}: requires a restart"]


def test_an_endpoint_that_is_called_otherwise_is_another_one() -> None:
    problems = refused(put("endpoints", 0, name="new"), *(put("models", index, endpoint="new") for index in (0, 1)))
    assert problems == ["endpoints[chat]: removed: requires a restart", "endpoints[new]: added: requires a restart"]


def test_endpoints_of_one_id_share_the_budgets_of_the_first_and_so_keep_their_order() -> None:
    raw = copy.deepcopy(RUNNING)
    raw["endpoints"] = [raw["endpoints"][0], {**raw["endpoints"][0], "name": "two"}]
    running = parse_config(raw, {})
    raw["endpoints"].reverse()
    with pytest.raises(ConfigError) as caught:
        changes(running, parse_config(raw, {}))
    assert str(caught.value) == "endpoints: reordered: requires a restart"


TAKEN = {
    Config: {"models", "tenants", "guest", "drain_s", "body_bytes_max"},
    EndpointSection: {
        "api_key", "api_key_file", "route", "max_in_flight", "max_in_flight_cold", "min_workers",
        "queue_timeout_s",
        "cold_start_timeout_s", "execution_timeout_s",
    },
}  # fmt: skip
RESTART = {
    Config: {"endpoints", "listen", "clients", "metrics_port", "state", "logs", "memory_bytes_max", "traces"},
    EndpointSection: {"name", "id", "base_url", "worker", "share_by", "limits"},
}


@pytest.mark.parametrize("section", list(TAKEN))
def test_somebody_has_thought_of_every_key(section: type[msgspec.Struct]) -> None:
    assert TAKEN[section] | RESTART[section] == set(section.__struct_fields__)
