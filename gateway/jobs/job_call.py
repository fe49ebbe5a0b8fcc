"""Make one call of the job API: wait for its budget, send it, and read its whole reply. Pure."""

from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.domain import Operation, Tenant
from gateway.endpoints.actions import AwaitPermit, Send
from gateway.endpoints.call import Call
from gateway.endpoints.upstream import Upstream
from gateway.errors import GatewayError, UnreachableError
from gateway.upstream.job_api import reply_failure
from gateway.upstream.reply import Hold, Reply, ReplyReader
from gateway.upstream.request import UpstreamRequest

T = TypeVar("T")


class JobCall(Generic[T]):
    """Represent one call. Its driver carries out `action`, and reports events until `result` is set or one raises.

    Every event raises the error that the call failed with. After it the call is over, and holds nothing.
    """

    def __init__(
        self,
        upstream: Upstream,
        operation: Operation,
        *,
        request: Callable[[], UpstreamRequest],
        decode: Callable[[Reply], T],
        hold: Hold,
        is_shielded: bool = False,
    ) -> None:
        """Create a call; `request` is built when its budget is granted, and `decode` raises its failure."""
        self._upstream = upstream
        self._operation = operation
        self._request = request
        self._decode = decode
        self._reply = ReplyReader(hold)
        self._is_shielded = is_shielded
        self._call: Call | None = None
        self.action: AwaitPermit | Send | None = None
        self.result: T | None = None

    @property
    def is_sent(self) -> bool:
        """Return True while it is sent and not over."""
        return isinstance(self.action, Send)

    @property
    def is_due(self) -> bool:
        """Return True if its wait for the budget is over, so that `wait_ended` has to be called."""
        return self._call is not None and self._call.is_wait_over

    def begin(self, tenant: Tenant, *, wait_s_max: float, is_urgent: bool = False) -> None:
        """Request the budget; an urgent call goes before the tenant's others."""
        self._call = self._upstream.request_call(
            self._operation, tenant=tenant, wait_s_max=wait_s_max, is_urgent=is_urgent
        )
        if self._call.is_waiting:
            self.action = AwaitPermit(self._call.permit)
        else:
            self._send()

    def wait_ended(self) -> None:
        """End the wait for the budget."""
        if self._call is None:
            return
        try:
            self._call.conclude()
        except GatewayError:
            self._call = self.action = None
            raise
        self._send()

    def _send(self) -> None:
        try:
            request = self._request()
        except GatewayError as error:
            self._end(error)
            raise
        self.action = Send(self._upstream.client, request, is_shielded=self._is_shielded)

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Process the head of the reply."""
        self._reply.head(status, retry_after_s)

    def piece(self, data: bytes) -> None:
        """Process a piece of the reply."""
        try:
            is_enough = self._reply.feed(data)
        except GatewayError as error:
            self.failed(error)
        else:
            if is_enough:
                self.ended()

    def ended(self) -> None:
        """Process the end of the reply."""
        try:
            result = self._decode(self._reply.end())
        except GatewayError as error:
            self._end(error)
            raise
        self._end(None)
        self.result = result

    def failed(self, error: GatewayError) -> None:
        """Process a failure of the connection, or of the memory for the reply."""
        if isinstance(error, UnreachableError):
            try:
                self._reply.failed(error)
            except UnreachableError:
                # The reply to a submission holds no outputs that could be lost.
                error = error if self._operation is Operation.RUN else reply_failure(error)
            else:
                self.ended()
                return
        self._end(error)
        raise error

    def stop(self) -> None:
        """Give it up, without an outcome. The driver closes the connection."""
        self.action = None
        call, self._call = self._call, None
        if call is not None:
            call.drop()

    def _end(self, error: GatewayError | None) -> None:
        self.action = None
        call, self._call = self._call, None
        if call is not None:
            call.end(error)
