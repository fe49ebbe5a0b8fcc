"""Read the client's timeout from the headers that OpenAI's SDKs send.

Sources: openai-python 3.54 sends `x-stainless-read-timeout` with every request, by default 600; openai-node 7.57 sends
`x-stainless-timeout` only if the user set a timeout. Both are in seconds.
"""

import math

from litestar.types import Scope

from gateway.wire.request_head import header_values

DEFAULT_S = 600.0
"""Default timeout of both SDKs in seconds: this or a longer one is ignored, as it may not be the user's choice. The
SDKs restart their timeout with every byte received, so a cold start of 15 minutes does not have to fail after 10."""
_NAMES = (b"x-stainless-read-timeout", b"x-stainless-timeout")


def client_timeout_s(scope: Scope) -> float | None:
    """Return the shortest timeout in the headers in seconds; None if they hold none, or no valid one below 600 s."""
    waits_s = [_seconds(value) for value in header_values(scope["headers"], *_NAMES)]
    return min((wait_s for wait_s in waits_s if wait_s is not None), default=None)


def _seconds(value: bytes) -> float | None:
    try:
        wait_s = float(value)
    except ValueError:
        return None
    return wait_s if math.isfinite(wait_s) and 0 < wait_s < DEFAULT_S else None
