"""Answer failures in the client's format: the gateway's own errors, Litestar's, and unexpected exceptions."""

from collections.abc import Callable

import msgspec
from litestar import MediaType, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from gateway import errors
from gateway.api.anthropic_clients import is_anthropic
from gateway.api.request_context import AnyRequest, request_context_of
from gateway.translate.client_formats import openai_errors
from gateway.translate.error_body import INTERNAL_ERROR, ErrorAnswer, error_answer
from gateway.translate.messages import errors as messages_errors

Report = Callable[[str, Exception], None]
"""Callback that receives the request id and the exception."""


def exception_handlers(report: Report) -> ExceptionHandlersMap:
    """Return the exception handlers for Litestar; `report` receives unexpected exceptions."""

    def foreseen(request: AnyRequest, error: errors.GatewayError) -> Response[bytes]:
        return _response(request, error_answer(error))

    def from_litestar(request: AnyRequest, error: HTTPException) -> Response[bytes]:
        match error.status_code:
            case 404:
                ours: errors.RequestError = errors.UnknownUrlError(request.scope["path"])
            case 405:
                allowed = (error.headers or {}).get("allow", "")
                answer = error_answer(errors.MethodError(method=request.method, allowed=allowed))
                return _response(request, answer, {"allow": allowed})
            case status if status < 500:
                ours = errors.InvalidRequestError("The request could not be read.")
            case _:
                return unforeseen(request, error)
        return _response(request, error_answer(ours))

    def unforeseen(request: AnyRequest, error: Exception) -> Response[bytes]:
        report(request_context_of(request.scope).request_id, error)
        return _response(request, INTERNAL_ERROR)

    return {errors.GatewayError: foreseen, HTTPException: from_litestar, Exception: unforeseen}


def _response(request: AnyRequest, answer: ErrorAnswer, more_headers: dict[str, str] | None = None) -> Response[bytes]:
    headers = answer.headers() | (more_headers or {})
    context = request_context_of(request.scope)
    encode = context.error_body
    if encode is openai_errors.error_body and is_anthropic(request.scope):
        # An unknown path, or a model: what failed belongs to no client format.
        encode = messages_errors.error_body
    body = encode(msgspec.structs.replace(answer, request_id=context.request_id))
    return Response(body, status_code=answer.status, media_type=MediaType.JSON, headers=headers)
