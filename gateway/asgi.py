"""Create the gateway's application for other ASGI servers: `uvicorn --factory gateway.asgi:create_app`.

`fairpod serve` limits connections, heads, rates and slow readers before the application sees them (README.md,
`clients`), reloads the configuration, and drains on SIGTERM. With another server, none of this applies: use its own
limits. Several of its processes need `state: {kind: redis}` and `memory_bytes_max`: each takes itself for the only
one.
"""

import os
from pathlib import Path

from litestar.types import ASGIApp

from gateway.app import Gateway
from gateway.config.config_file import ConfigFile
from gateway.config.loader import ConfigError, Problem
from gateway.config.quickstart import quickstart
from gateway.observability.process_log import log_in_thread


def create_app() -> ASGIApp:
    """Return the application, configured by the file that FAIRPOD_CONFIG names, else by the environment.

    The server has to run its lifespan, in which the background tasks live.

    Raises:
        ConfigError: The configuration is invalid.
    """
    path = os.environ.get("FAIRPOD_CONFIG")
    if path is not None:
        config = ConfigFile(Path(path), os.environ).read()
    else:
        quick = quickstart(os.environ)
        if quick.new_key is not None:
            raise ConfigError(
                [Problem("FAIRPOD_API_KEY", "is required; generate a key with `fairpod key --tenant default`")]
            )
        config = quick.config
    log_in_thread(config.logs.format)
    return Gateway(config).app
