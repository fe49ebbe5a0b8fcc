"""How long a client says that it will wait.

Sources: openai-python 3.54 sends `x-stainless-read-timeout` with every request, 600 where nobody set it; openai-node
7.57 sends `x-stainless-timeout` where somebody did. Both in seconds.
"""

import math

from litestar.types import Scope

from gateway.wire.request_head import header_values

DEFAULT_S = 600.0
"""Both SDKs' own; from there on nobody has said anything. Their timeouts begin anew with every sign of life, so that a
cold start of a quarter of an hour need not end at ten minutes."""
_NAMES = (b"x-stainless-read-timeout", b"x-stainless-timeout")


def patience_s(scope: Scope) -> float | None:
    """The shortest wait that the headers name; None where they name none, or nothing sensible."""
    waits_s = [_seconds(value) for value in header_values(scope["headers"], *_NAMES)]
    return min((wait_s for wait_s in waits_s if wait_s is not None), default=None)


def _seconds(value: bytes) -> float | None:
    try:
        wait_s = float(value)
    except ValueError:
        return None
    return wait_s if math.isfinite(wait_s) and 0 < wait_s < DEFAULT_S else None
