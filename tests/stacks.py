"""A gateway before an emulator, both on real sockets: what the end-to-end tests stand on."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec

from gateway.app import Gateway
from gateway.config.keys import key_line
from gateway.config.loader import parse_config
from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.serving import serving, serving_gateway

KEY = "fp-test-key"
RUNPOD_KEY = "rpa_test_key"
ENDPOINT_ID = "ep1"


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is."""

    url: str
    emulator_url: str
    gateway: Gateway

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"{self.url}/v1"

    def jobs(self) -> list[dict[str, Any]]:
        """The emulator's jobs."""
        jobs: Any = httpx.get(f"{self.emulator_url}/emulator/jobs").json()
        return jobs if isinstance(jobs, list) else jobs["jobs"]

    def calls(self) -> list[dict[str, Any]]:
        """The calls that the emulator got."""
        calls: Any = httpx.get(f"{self.emulator_url}/emulator/calls").json()
        return calls if isinstance(calls, list) else calls["calls"]

    def asked(self) -> int:
        """Return how many calls were made for clients: the gateway reads the health of workers at any time."""
        return sum(call["operation"] != "health" for call in self.calls())

    def set_faults(self, **faults: Any) -> None:
        """Switch faults on; those not named are off."""
        httpx.put(f"{self.emulator_url}/emulator/faults", json=faults).raise_for_status()


def config_of(emulator_url: str, *, endpoint: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A configuration with one endpoint, the models `m` and `embedder`, and one tenant with KEY."""
    return {
        # Tests run in parallel, and a port that all of them want is free for one.
        "metrics_port": None,
        "endpoints": [
            {
                "name": "chat",
                "id": ENDPOINT_ID,
                "base_url": f"{emulator_url}/v2",
                "api_key": RUNPOD_KEY,
                "route": "job",
                **(endpoint or {}),
            }
        ],
        "models": [
            {"id": "m", "endpoint": "chat", "upstream": "org/real-model"},
            {"id": "org/with-slash", "endpoint": "chat"},
        ],
        "tenants": [{"name": "acme", "keys": [key_line(KEY)]}],
        **sections,
    }


@contextlib.contextmanager
def stack(
    settings: EmulatorSettings | None = None,
    *,
    endpoint: dict[str, Any] | None = None,
    sections_of: Callable[[str], dict[str, Any]] = lambda _url: {},
    **sections: Any,
) -> Iterator[Stack]:
    """Emulator and gateway, each on a server of its own; `endpoint` and the sections override the configuration.

    `sections_of` makes sections that need the emulator's address.
    """
    settings = settings or EmulatorSettings(api_key=RUNPOD_KEY)
    with serving(build_emulator(settings)) as emulator_url:
        gateway = Gateway(
            parse_config(config_of(emulator_url, endpoint=endpoint, **sections_of(emulator_url), **sections), {})
        )
        with serving_gateway(gateway.app) as url:
            yield Stack(url=url, emulator_url=emulator_url, gateway=gateway)
