"""Dispatch calls under /v2: find endpoint and operation, check key and limits, apply faults, and log the call."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import anyio
import msgspec

from gateway.emulator.calls import BodyTooLargeError, Call, CallLog, CallRecord
from gateway.emulator.endpoints import Endpoints
from gateway.emulator.limits import Operation
from gateway.emulator.replies import Reply, error_reply

if TYPE_CHECKING:
    from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

Handler = Callable[[Call], Awaitable[Reply | None]]
"""Function that answers a call; it returns None if it has sent the reply itself."""

UNAUTHORIZED = error_reply(401, "unauthorized")
NOT_FOUND = error_reply(404, "not found")
METHOD_NOT_ALLOWED = error_reply(405, "method not allowed")
TOO_LARGE = error_reply(413, "request body too large")
TOO_MANY = error_reply(429, "too many requests")
LOST_STATUS = 0

GET = frozenset({"GET"})
POST = frozenset({"POST"})
GET_OR_POST = GET | POST


class Route(msgspec.Struct, frozen=True):
    """Describe one operation: its handler and its HTTP methods."""

    handler: Handler
    methods: frozenset[str]
    is_job_api: bool = True


class Dispatch:
    """Implement the ASGI app under /v2. A table lookup instead of a router: benchmarks measure this path."""

    def __init__(self, endpoints: Endpoints, routes: Mapping[Operation, Route], *, calls: CallLog) -> None:
        self._endpoints = endpoints
        self._routes: dict[str, tuple[Operation, Route]] = {
            operation.value: (operation, route) for operation, route in routes.items()
        }
        self._calls = calls
        api_key = endpoints.settings.api_key.encode()
        # Runpod's docs show both forms; its worker SDK sends the key without "Bearer".
        self._accepted_keys = {api_key, b"Bearer " + api_key} if api_key else None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one HTTP request under /v2."""
        endpoint_id, _, tail = scope["path"].strip("/").partition("/")
        name, _, rest = tail.partition("/")
        found = self._routes.get(name)
        endpoint = self._endpoints.get(endpoint_id) if endpoint_id and found else None
        if found is None or endpoint is None:
            await send_reply(send, NOT_FOUND)
            return
        operation, route = found
        call = Call(
            endpoint,
            method=str(scope.get("method", "")),
            rest=rest,
            query_string=scope["query_string"],
            receive=receive,
            send=send,
        )
        at_s = endpoint.now_s
        status = await self._answer(call, operation, route, headers=scope["headers"])
        self._calls.add(
            CallRecord(
                at_s=at_s,
                endpoint=endpoint_id,
                operation=operation,
                method=call.method,
                job_id=call.job_id,
                status=status,
            )
        )

    async def _answer(
        self, call: Call, operation: Operation, route: Route, *, headers: Iterable[tuple[bytes, bytes]]
    ) -> int:
        """Send the reply and return its status."""
        if call.method not in route.methods:
            return await send_reply(call.send, METHOD_NOT_ALLOWED)
        if not self._knows(headers):
            return await send_reply(call.send, UNAUTHORIZED)
        endpoint = call.endpoint
        meter = endpoint.meter(operation)
        enforced = endpoint.settings.limits_enforced
        if not meter.enter(endpoint.now_s, extra_per_10s=endpoint.extra_per_10s(), enforced=enforced):
            return await send_reply(call.send, TOO_MANY)
        try:
            return await self._perform(call, operation, route)
        finally:
            meter.leave()

    async def _perform(self, call: Call, operation: Operation, route: Route) -> int:
        plan = call.endpoint.plan
        refused_status = plan.refusal(operation, is_job_api=route.is_job_api)
        reply: Reply | None = None
        if refused_status is None or plan.faults.refused_after_effect:
            try:
                reply = await route.handler(call)
            except BodyTooLargeError:
                reply = TOO_LARGE
            if reply is None:
                return 200
        if plan.faults.reply_delay_s and route.is_job_api:
            await anyio.sleep(plan.faults.reply_delay_s)
        if refused_status is not None or reply is None:
            return await send_reply(call.send, error_reply(refused_status or 500, "refused by a fault"))
        counts = operation is not Operation.STREAM or call.handed_out > 0
        if counts and plan.loses(operation):
            return await lose_reply(call.send, reply)
        return await send_reply(call.send, reply)

    def _knows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        if self._accepted_keys is None:
            return True
        return any(name == b"authorization" and value in self._accepted_keys for name, value in headers)


def _start(reply: Reply) -> "HTTPResponseStartEvent":
    headers = [(b"content-type", reply.content_type), (b"content-length", str(len(reply.body)).encode())]
    return {"type": "http.response.start", "status": reply.status, "headers": headers if reply.status != 204 else []}


async def send_reply(send: "Send", reply: Reply) -> int:
    """Send a complete reply and return its status."""
    body: HTTPResponseBodyEvent = {"type": "http.response.body", "body": reply.body, "more_body": False}
    await send(_start(reply))
    await send(body)
    return reply.status


async def lose_reply(send: "Send", reply: Reply) -> int:
    """Send a reply's head but never its body: the server then closes the connection. ASGI has no other way to do so."""
    await send(_start(reply))
    return LOST_STATUS
