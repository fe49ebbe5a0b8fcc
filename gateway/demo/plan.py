"""Plan the demo: its ports and keys, the gateway's configuration, and each part's command and environment."""

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
    """Signal that the requested port cannot be used."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the ports and keys of one demo, and build the commands of its parts."""

    worker: WorkerKind
    port: int
    emulator_port: int
    emulator_key: str
    key: str

    @classmethod
    def make(cls, *, port: int, worker: WorkerKind) -> Self:
        """Choose free ports and fresh keys; port 0 takes any free one.

        Raises:
            PortTakenError: The port cannot be used.
        """
        return cls(
            worker=worker,
            port=_free_port(port),
            emulator_port=_free_port(0),
            emulator_key=f"rpa_{secrets.token_hex(16)}",
            key=f"demo-{secrets.token_hex(16)}",
        )

    @property
    def model(self) -> str:
        """Return the model id that clients use."""
        return MODEL_NAME if self.worker == "model" else "scripted"

    @property
    def base_url(self) -> str:
        """Return the OpenAI base URL for clients."""
        return f"http://{HOST}:{self.port}/v1"

    def configuration(self) -> bytes:
        """Build the gateway's configuration, as JSON: it is valid YAML and needs no quoting rules."""
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
                            # The worker's concurrency; other requests wait in the gateway, where the queue is fair.
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
        """Build the emulator's command, with its own scripted worker or for a remote one."""
        worker = "none" if self.worker == "model" else "scripted"
        address = ["--host", HOST, "--port", str(self.emulator_port)]
        return ["gateway", "emulator", *address, "--api-key", self.emulator_key, "--worker", worker]

    def gateway_command(self, configuration: Path) -> list[str]:
        """Build the gateway's command."""
        return ["gateway", "serve", "--config", str(configuration), "--host", HOST, "--port", str(self.port)]

    def worker_command(self) -> list[str]:
        """Build the command of the worker with the real model."""
        return ["gateway.demo.worker"]

    def environment(self, directory: Path, *, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Build the environment of all parts: the user's, without any variable that would point a part elsewhere."""
        kept = {name: value for name, value in inherited.items() if not name.startswith(("RUNPOD_", "FAIRPOD_"))}
        return kept | {"NO_PROXY": HOST, "no_proxy": HOST, "PYTHONUNBUFFERED": "1", "TMPDIR": str(directory)}

    def worker_environment(self, directory: Path, *, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Build the worker's environment, with the emulator's URLs. The SDK replaces `$ID` and `$RUNPOD_POD_ID`."""
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
            # Without these the SDK looks for a GPU, and for the internet.
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        }


def _free_port(port: int) -> int:
    """Return the port itself if it is free, or any free one for 0.

    Raises:
        PortTakenError: The port cannot be used.
    """
    with socket.socket() as probe:
        # Set as servers set it, so that connections of the last demo that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PortTakenError(f"Port {port} of {HOST} cannot be used ({reason}).") from error
        bound: int = probe.getsockname()[1]
        return bound
