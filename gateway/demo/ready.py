"""Check that the demo is ready: its ports answer, then one completion passes through all parts."""

import anyio
import httpx

from gateway.demo.plan import HOST, Plan

_RETRY_S = 0.1


class NotReadyError(Exception):
    """Signal that a part gave a wrong answer."""


async def wait_for_port(port: int) -> None:
    """Wait until a process listens on the port."""
    while True:
        try:
            stream = await anyio.connect_tcp(HOST, port)
        except OSError:
            await anyio.sleep(_RETRY_S)
        else:
            await stream.aclose()
            return


async def complete_once(plan: Plan) -> None:
    """Request one short completion, as a client would.

    Raises:
        NotReadyError: The status is not 200.
    """
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
