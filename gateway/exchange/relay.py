"""One request over the OpenAI route: its answer is read as it comes."""

import anyio

from gateway.domain import Operation
from gateway.errors import GatewayError, OutputLostError, UnreachableError, UpstreamTimeoutError, WorkerError
from gateway.exchange.answer import Answer
from gateway.exchange.gpu_time import AttemptCost
from gateway.exchange.order import Order
from gateway.exchange.relay_times import never_sent
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
        failure: GatewayError | None = None
        upstream.relays.open(time, activity)
        with anyio.move_on_after(endpoint.cold_start_timeout_s + endpoint.execution_timeout_s) as budget:
            try:
                async with upstream.openai.opened(
                    request.api, body, read_timeout_s=endpoint.cold_start_timeout_s, traceparent=traceparent
                ) as opened:
                    async for piece in await good_pieces(opened):
                        if not activity.has_output:
                            upstream.relay_output(activity, time, is_first_token=request.stream)
                        else:
                            activity.heard(upstream.now_s)
                        if deltas := reader.feed(piece):
                            await answer.take(deltas)
                        if reader.is_over:
                            break
            except GatewayError as error:
                failure = error
                if isinstance(error, WorkerError):
                    # It ran, to say so.
                    upstream.relay_output(activity, time, is_first_token=False)
                if isinstance(error, UnreachableError) and answer.chunks and error.status is None:
                    raise OutputLostError("The connection to the worker broke in the middle of its answer.") from error
                raise
            finally:
                was_sent = not never_sent(failure)
                activity.end(upstream.now_s, was_sent=was_sent)
                upstream.relays.close(time)
                cost.close(was_sent=was_sent)
        if budget.cancelled_caught:
            raise UpstreamTimeoutError
        await answer.take(reader.end())
    if request.stream and not (reader.is_over or answer.is_whole):
        raise OutputLostError("The worker's answer was cut short.")
