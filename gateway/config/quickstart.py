"""Build the configuration of `fairpod serve` without a file: one endpoint and one tenant, from the environment."""

from collections.abc import Mapping

import msgspec

from gateway.config.keys import key_line, new_key
from gateway.config.loader import ConfigError, Problem, parse_config
from gateway.config.schema import Config


class Quickstart(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a configuration, and the key that was generated for it, None if the environment has one."""

    config: Config
    new_key: str | None


def quickstart(environment: Mapping[str, str]) -> Quickstart:
    """Build the configuration.

    Raises:
        ConfigError: A variable is missing, or its value is invalid.
    """
    missing = [name for name in ("RUNPOD_API_KEY", "RUNPOD_ENDPOINT_ID") if not environment.get(name)]
    if missing:
        text = f"set {' and '.join(missing)}, or specify a configuration file with --config or FAIRPOD_CONFIG"
        raise ConfigError([Problem("", text)])
    key = environment.get("FAIRPOD_API_KEY")
    made = None if key else new_key()
    endpoint = {
        "name": "default",
        "id": environment["RUNPOD_ENDPOINT_ID"],
        "api_key": environment["RUNPOD_API_KEY"],
        # The variable that sets the base URL of Runpod's own SDK.
        "base_url": environment.get("RUNPOD_ENDPOINT_BASE_URL") or "https://api.runpod.ai/v2",
    }
    raw = {
        # A first try should only need one port.
        "metrics_port": None,
        "endpoints": [endpoint],
        "models": [{"id": "*", "endpoint": "default"}],
        "tenants": [{"name": "default", "keys": [key_line(key or made or "")]}],
    }
    return Quickstart(config=parse_config(raw, {}), new_key=made)
