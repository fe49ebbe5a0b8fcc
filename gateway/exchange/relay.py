"""One request over the OpenAI route: its answer is read as it comes."""

import anyio

from gateway.domain import Operation
from gateway.errors import OutputLostError, UnreachableError, UpstreamTimeoutError
from gateway.exchange.answer import Answer
from gateway.exchange.gpu_time import AttemptCost
from gateway.exchange.order import Order
from gateway.exchange.upstream import Upstream
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.translate.request import worker_fields
from gateway.upstream.openai_route import good_pieces
from gateway.wire.openai import join_fields


async def relay(
    upstream: Upstream,
    order: Order,
    answer: Answer,
    cost: AttemptCost,
    *,
    is_urgent: bool = False,
    traceparent: str | None = None,
) -> None:
    """Send the request, and pass on the answer until its end; closing the answer is the caller's.

    Raises:
        GatewayError: The route or the worker failed, or the answer was cut short.
    """
    endpoint, request = upstream.endpoint, order.request
    body = join_fields(worker_fields(request, upstream_model=order.model.upstream))
    reader = OpenAIReader(stream=request.stream)
    async with upstream.calling(
        Operation.OPENAI, tenant=order.tenant, wait_s_max=endpoint.queue_timeout_s, is_urgent=is_urgent
    ):
        activity, time = upstream.begin(), cost.open(upstream.gpu)
        upstream.open_relay(time, activity)
        with anyio.move_on_after(endpoint.cold_start_timeout_s + endpoint.execution_timeout_s) as budget:
            try:
                async with upstream.openai.opened(
                    request.api, body, read_timeout_s=endpoint.cold_start_timeout_s, traceparent=traceparent
                ) as opened:
                    async for piece in await good_pieces(opened):
                        if not activity.has_output:
                            upstream.relay_output(activity, time, is_first_token=request.stream)
                        if deltas := reader.feed(piece):
                            await answer.take(deltas)
                        if reader.is_over:
                            break
            except UnreachableError as error:
                if answer.chunks and error.status is None:
                    raise OutputLostError("The connection to the worker broke in the middle of its answer.") from error
                raise
            finally:
                activity.end(upstream.now_s)
                upstream.close_relay(time)
        if budget.cancelled_caught:
            raise UpstreamTimeoutError
        await answer.take(reader.end())
    if request.stream and not (reader.is_over or answer.is_whole):
        raise OutputLostError("The worker's answer was cut short.")
