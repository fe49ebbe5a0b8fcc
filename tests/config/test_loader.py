import copy
import pathlib
from typing import Any

import pytest

from gateway.config.keys import key_line
from gateway.config.loader import ConfigError, load_config, parse_config
from gateway.config.schema import METRICS_PORT, Config
from gateway.domain import Limit, Operation, Route
from tests.stacks import config_of

GOOD: dict[str, Any] = {
    "endpoints": [{"name": "chat", "id": "abc", "api_key": "${RUNPOD_API_KEY}"}],
    "models": [{"id": "llama", "endpoint": "chat"}],
    "tenants": [{"name": "acme", "keys": [key_line("secret")]}],
}
ENVIRONMENT = {"RUNPOD_API_KEY": "rpa_x", "PORT": "9001"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one place changed; a path is keys and indexes with dots between."""
    raw: Any = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    place = raw
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[last] = value
    return dict(raw)


def problems(raw: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, ENVIRONMENT)
    return [str(problem) for problem in caught.value.problems]


def test_defaults() -> None:
    config = parse_config(GOOD, ENVIRONMENT)
    endpoint = config.endpoints[0]
    assert endpoint.api_key == "rpa_x"
    assert endpoint.route is Route.AUTO
    assert (config.listen.port, config.drain_s, endpoint.max_in_flight) == (8080, 30, 64)


def test_metrics_have_a_port_of_their_own_unless_the_file_says_null() -> None:
    assert parse_config(GOOD, ENVIRONMENT).metrics_port == METRICS_PORT == 9464
    assert parse_config(GOOD | {"metrics_port": None}, ENVIRONMENT).metrics_port is None


def test_the_file_of_the_interface() -> None:
    text = """
listen: {host: 127.0.0.1, port: "${PORT}"}
metrics_port: 9102
drain_s: 5
endpoints:
  - name: chat
    id: abc123
    base_url: https://api.runpod.ai/v2
    api_key: ${MISSING:-fallback}
    route: job
    worker: tokens
    max_in_flight: 64
    queue_timeout_s: 30
    cold_start_timeout_s: 600
    execution_timeout_s: 600
    limits: {run: {per_10s: 1000, concurrent: 200}}
models:
  - {id: llama-3, endpoint: [chat], upstream: meta-llama/Llama-3.1-8B-Instruct, kind: chat}
  - {id: "*", endpoint: chat}
tenants:
  - name: acme
    weight: 3
    keys: ["sha256:%(digest)s", {sha256: "%(other)s", expires_at: 2027-01-01T00:00:00Z, label: old}]
    models: ["*"]
    max_in_flight: null
    requests_per_minute: null
    tokens_per_minute: 1000
state: {kind: memory}
logs: {format: json}
traces: {endpoint: "http://collector:4318", headers: {authorization: Bearer x, X-Scope-OrgID: "7"}, sample_ratio: 0.1}
"""
    digests = {"digest": "a" * 64, "other": "b" * 64}
    import yaml

    config = parse_config(yaml.safe_load(text % digests), ENVIRONMENT)
    assert config.listen.port == 9001
    assert config.endpoints[0].api_key == "fallback"
    assert config.endpoints[0].limits == {Operation.RUN: Limit(per_10s=1000, concurrent=200)}
    assert config.tenants[0].tokens_per_minute == 1000
    assert config.traces is not None
    assert config.traces.headers == {"authorization": "Bearer x", "X-Scope-OrgID": "7"}


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("tenantz", [], "tenantz", "unknown key; expected one of: endpoints, models"),
        ("listen", {"prot": 1}, "listen.prot", "unknown key; expected one of: host, port"),
        ("listen", {"port": "eighty"}, "listen.port", "Expected `int`"),
        ("listen", {"port": 70000}, "listen.port", "<= 65535"),
        ("listen", [], "listen", "Expected `object`"),
        ("endpoints", [], "endpoints", "length >= 1"),
        ("endpoints", None, "endpoints", "Expected `array`"),
        ("endpoints.0.route", "fast", "endpoints[0].route", "expected one of: auto, job, openai"),
        ("endpoints.0.worker", "vllm", "endpoints[0].worker", "expected one of: openai, tokens, legacy, text"),
        ("endpoints.0.base_url", "api.runpod.ai", "endpoints[0].base_url", "https?"),
        ("endpoints.0.id", "a/../b", "endpoints[0].id", "regex"),
        ("traces", {}, "traces.endpoint", "missing"),
        ("traces", {"endpoint": "collector:4318"}, "traces.endpoint", "https?"),
        ("traces", {"endpoint": "http://c", "sample_ratio": 1.1}, "traces.sample_ratio", "<= 1"),
        ("traces", {"endpoint": "http://c", "headers": ["a: b"]}, "traces.headers", "Expected `object`"),
        ("traces", {"endpoint": "http://c", "headers": {"a b": "c"}}, "traces.headers", "regex"),
        ("traces", {"endpoint": "http://c", "headers": {"a": "b\nc: d"}}, "traces.headers.a", "regex"),
        ("traces", {"endpoint": "http://c", "headers": {"a": "${NOT_SET}"}}, "traces.headers.a", "NOT_SET is not set"),
        ("endpoints.0.limits", {"walk": {}}, "endpoints[0].limits.walk", "expected one of: openai, run"),
        ("endpoints.0.limits", {"run": {"per_10s": 0, "concurrent": 1}}, "endpoints[0].limits.run.per_10s", ">= 1"),
        ("endpoints.0.limits", {"run": {"per_10s": 1}}, "endpoints[0].limits.run.concurrent", "missing"),
        ("endpoints.0.api_key", "${NOT_SET}", "endpoints[0].api_key", "NOT_SET is not set"),
        ("endpoints.0.api_key", None, "endpoints[0].api_key", "exactly one of api_key and api_key_file"),
        ("endpoints.0.api_key", " ", "endpoints[0].api_key", "empty"),
        ("endpoints.0.api_key_file", "/x", "endpoints[0].api_key", "exactly one of"),
        ("models.0.endpoint", "nowhere", "models[0].endpoint", "unknown endpoint 'nowhere'; expected one of: chat"),
        ("models.0.endpoint", [], "models[0].endpoint", "at least one"),
        ("models.0.endpoint", 5, "models[0].endpoint", "Expected"),
        ("models.0.kind", "image", "models[0].kind", "expected one of: chat, embedding"),
        ("tenants.0.weight", 0, "tenants[0].weight", ">= 0.001"),
        ("tenants.0.keys", ["secret"], "tenants[0].keys[0]", "regex"),
        ("tenants.0.models", ["gpt"], "tenants[0].models", "unknown model 'gpt'"),
        ("state", {"kind": "file"}, "state.kind", "expected one of: memory, redis"),
        ("state", {"kind": "redis"}, "state.url", "redis://HOST"),
        ("state", {"url": "redis://a"}, "state.url", "redis://HOST"),
        ("state", {"kind": "redis", "url": "http://a"}, "state.url", "regex"),
        ("state", {"kind": "redis", "url": "redis://a", "on_outage": "x"}, "state.on_outage", "share, closed, open"),
        ("guest", {"name": "acme"}, "tenants", "'acme' is listed 2 times"),
        ("logs", {"format": "xml"}, "logs.format", "expected one of: auto, json, console"),
    ],
)
def test_a_problem_is_named_with_its_path_and_what_is_accepted(path: str, value: Any, where: str, what: str) -> None:
    found = problems(changed(path, value))
    assert any(line.startswith(f"{where}: ") and what in line for line in found), found


def test_every_problem_is_named_at_once() -> None:
    raw = changed("endpoints.0.route", "fast")
    raw["endpoints"][0]["base_url"] = "${NOT_SET}"
    raw["listen"] = {"port": "x", "host": 5, "color": "red"}
    raw["tenants"] = [{"weight": -1}, {"name": "b", "requests_per_minute": 0}]
    del raw["models"]
    found = problems(raw)
    paths = {line.split(":")[0] for line in found}
    assert len(paths) == len(found)
    assert paths >= {
        "endpoints[0].base_url",
        "endpoints[0].route",
        "listen.port",
        "listen.color",
        "tenants[0].name",
        "tenants[0].weight",
        "tenants[1].requests_per_minute",
        "models",
    }


@pytest.mark.parametrize("name", ["endpoints", "models", "tenants"])
def test_names_stand_once(name: str) -> None:
    raw: Any = copy.deepcopy(GOOD)
    raw[name] = raw[name] * 2
    assert any("2 times" in line for line in problems(raw))


def test_a_key_that_stands_twice_is_told_by_its_owners_and_not_by_its_digest() -> None:
    raw: Any = copy.deepcopy(GOOD)
    raw["tenants"].append({**raw["tenants"][0], "name": "beta"})
    assert problems(raw) == ["tenants[].keys: the same key is listed 2 times, for: acme, beta"]


def test_embeddings_need_a_worker_that_speaks_openai() -> None:
    raw = changed("models.0.kind", "embedding")
    raw["endpoints"][0]["worker"] = "tokens"
    assert "does not serve models of kind 'embedding'" in problems(raw)[0]


@pytest.mark.parametrize("raw", [None, [], "text", 5])
def test_a_file_that_is_no_mapping(raw: Any) -> None:
    assert "Expected `object`" in problems(raw)[0]


def test_broken_yaml_is_placed_and_not_quoted(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text('endpoints:\n  - {name: a, api_key: "rpa_very_secret\n')
    with pytest.raises(ConfigError, match=r"line \d+, column \d+") as caught:
        load_config(file, {})
    assert "rpa_very_secret" not in str(caught.value)


def test_a_key_that_no_header_takes_is_named() -> None:
    assert "other than visible ASCII" in problems(changed("endpoints.0.api_key", "rpa\nx"))[0]
    assert parse_config(changed("endpoints.0.api_key", "rpa_x\n"), ENVIRONMENT)


def test_values_of_secrets_are_not_printed() -> None:
    raw = changed("endpoints.0.api_key", ["rpa_very_secret"])
    assert "rpa_very_secret" not in "".join(problems(raw))


def test_a_file_is_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    for text, complaint in (("a: [", "not valid YAML"), ("\xff", "Expected")):
        file.write_text(text, encoding="latin-1" if text == "\xff" else "utf-8")
        with pytest.raises(ConfigError, match=complaint if text != "\xff" else "cannot read"):
            load_config(file, {})
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "missing.yaml", {})


def test_sections_are_frozen() -> None:
    config = parse_config(GOOD, ENVIRONMENT)
    assert isinstance(config, Config)
    with pytest.raises(AttributeError):
        config.drain_s = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cr#et@host:6379/0",
        "redis://:s3cret@host:99999/0",
        "redis://:s3cret@/0",
        "redis://:s3cret@host/0?foo=bar",
        "redis://:s3cret@host/0?decode_responses=true",
    ],
)
def test_a_store_that_cannot_be_reached_like_this_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**config_of("http://127.0.0.1:1"), "state": {"kind": "redis", "url": url}}, {})
    (problem,) = caught.value.problems
    assert problem.path == "state.url"
    assert "s3cr" not in str(problem)


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}"])
def test_a_file_that_holds_itself_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="contains itself"):
        load_config(file, {})
