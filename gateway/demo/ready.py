"""When the demo may be announced: ports that answer, then one completion through all parts."""

import anyio
import httpx

from gateway.demo.plan import HOST, Plan

_RETRY_S = 0.1


class NotReadyError(Exception):
    """A part answered, but not as it should."""


async def wait_for_port(port: int) -> None:
    """Return when something listens there."""
    while True:
        try:
            stream = await anyio.connect_tcp(HOST, port)
        except OSError:
            await anyio.sleep(_RETRY_S)
        else:
            await stream.aclose()
            return


async def complete_once(plan: Plan) -> None:
    """One short completion, as a client would ask for it."""
    body = {
        "model": plan.model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 4,
    }
    # No timeout here: the caller bounds the whole start.
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:  # noqa: S113
        reply = await client.post(
            f"{plan.base_url}/chat/completions", json=body, headers={"authorization": f"Bearer {plan.key}"}
        )
    if reply.status_code != 200:
        raise NotReadyError(f"The first completion was answered with {reply.status_code}: {reply.text[:500]}")
