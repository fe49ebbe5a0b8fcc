"""What the demo starts: ports, keys, the gateway's configuration and each part's command and environment."""

import hashlib
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import msgspec

from gateway.demo.model import SLOTS
from gateway.demo.request import MODEL_NAME

HOST = "127.0.0.1"
ENDPOINT = "demo"
WorkerKind = Literal["model", "scripted"]
_DRAIN_S = 1
_QUEUE_TIMEOUT_S = 120
_AT_ONCE: dict[WorkerKind, int] = {"model": SLOTS, "scripted": 30}


class PortTakenError(Exception):
    """Something else listens on the port that was asked for."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One demo."""

    worker: WorkerKind
    port: int
    emulator_port: int
    emulator_key: str
    key: str

    @classmethod
    def make(cls, *, port: int, worker: WorkerKind) -> Self:
        """Choose free ports and fresh keys; port 0 takes any. Raises `PortTakenError`."""
        return cls(
            worker=worker,
            port=_free_port(port),
            emulator_port=_free_port(0),
            emulator_key=f"rpa_{secrets.token_hex(16)}",
            key=f"demo-{secrets.token_hex(16)}",
        )

    @property
    def model(self) -> str:
        """The model that clients name."""
        return MODEL_NAME if self.worker == "model" else "scripted"

    @property
    def base_url(self) -> str:
        """What clients take as OpenAI's base URL."""
        return f"http://{HOST}:{self.port}/v1"

    def configuration(self) -> bytes:
        """The gateway's configuration. JSON, which is YAML too and needs no quoting rules."""
        return msgspec.json.format(
            msgspec.json.encode(
                {
                    "drain_s": _DRAIN_S,
                    "metrics_port": None,
                    "endpoints": [
                        {
                            "name": ENDPOINT,
                            "id": ENDPOINT,
                            "base_url": f"http://{HOST}:{self.emulator_port}/v2",
                            "api_key": self.emulator_key,
                            "route": "job",
                            "worker": "openai",
                            # What the worker answers at once; the rest waits in the gateway, where waiting is fair.
                            "max_in_flight": _AT_ONCE[self.worker],
                            "queue_timeout_s": _QUEUE_TIMEOUT_S,
                        }
                    ],
                    "models": [{"id": self.model, "endpoint": ENDPOINT, "upstream": self.model}],
                    "tenants": [{"name": "demo", "keys": [f"sha256:{hashlib.sha256(self.key.encode()).hexdigest()}"]}],
                }
            )
        )

    def emulator_command(self) -> list[str]:
        """The emulator, with its own scripted worker or waiting for ours."""
        worker = "none" if self.worker == "model" else "scripted"
        address = ["--host", HOST, "--port", str(self.emulator_port)]
        return ["gateway", "emulator", *address, "--api-key", self.emulator_key, "--worker", worker]

    def gateway_command(self, configuration: Path) -> list[str]:
        """The gateway."""
        return ["gateway", "serve", "--config", str(configuration), "--host", HOST, "--port", str(self.port)]

    def worker_command(self) -> list[str]:
        """The worker with the real model."""
        return ["gateway.demo.worker"]

    def environment(self, directory: Path, *, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of all parts: the user's, without anything that would point a part elsewhere."""
        kept = {name: value for name, value in inherited.items() if not name.startswith(("RUNPOD_", "FAIRPOD_"))}
        return kept | {"NO_PROXY": HOST, "no_proxy": HOST, "PYTHONUNBUFFERED": "1", "TMPDIR": str(directory)}

    def worker_environment(self, directory: Path, *, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Where the SDK finds the emulator. `$ID` and `$RUNPOD_POD_ID` are the SDK's to replace."""
        api = f"http://{HOST}:{self.emulator_port}/v2/{ENDPOINT}"
        return self.environment(directory, inherited=inherited) | {
            # The SDK reads credentials and settings of a real account from the home directory.
            "HOME": str(directory),
            "RUNPOD_WEBHOOK_GET_JOB": f"{api}/job-take/$ID?gpu=CPU",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{api}/job-done/$RUNPOD_POD_ID/$ID?gpu=CPU",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{api}/job-stream/$RUNPOD_POD_ID/$ID?gpu=CPU",
            "RUNPOD_WEBHOOK_PING": f"{api}/ping/$RUNPOD_POD_ID?gpu=CPU",
            "RUNPOD_AI_API_KEY": self.emulator_key,
            "RUNPOD_POD_ID": "demo-worker",
            "RUNPOD_ENDPOINT_ID": ENDPOINT,
            "RUNPOD_LOG_LEVEL": "WARN",
            # Without these it looks for a GPU, and for the internet.
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        }


def _free_port(port: int) -> int:
    """The port itself if it is free, or any free one for 0."""
    with socket.socket() as probe:
        # As servers do, so that connections still closing from the last demo do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PortTakenError(f"Port {port} of {HOST} cannot be used ({reason}).") from error
        bound: int = probe.getsockname()[1]
        return bound
