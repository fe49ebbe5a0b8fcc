"""Define OpenAI's Responses API as a client format on top of chat completions. Responses are not stored."""

from gateway.apis import CHAT_COMPLETIONS
from gateway.domain import Usage
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat, StreamFormat
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.client_formats.schema import counts_schema, object_schema
from gateway.translate.request import ClientRequest
from gateway.translate.responses.request import ResponsesRequest, read_responses_request
from gateway.translate.responses.response_object import failed_event
from gateway.translate.responses.writer import ResponseWriter, finish_response
from gateway.wire.openai import Fields
from gateway.wire.sse import KEEP_ALIVE


def _open_stream(request: ClientRequest, *, answer_id: str, created_s: int) -> ResponseWriter:
    return ResponseWriter(_own(request), answer_id=answer_id, created_s=created_s)


def _finish(whole: Fields, request: ClientRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
    return finish_response(whole, _own(request), answer_id=answer_id, created_s=created_s, usage=usage)


def _own(request: ClientRequest) -> ResponsesRequest:
    """Return the request as what `read` has made it."""
    assert isinstance(request, ResponsesRequest)  # noqa: S101 - `read` returns no other.
    return request


RESPONSE_STREAM = StreamFormat(
    media_type="text/event-stream", open=_open_stream, comment=KEEP_ALIVE, error=failed_event
)
OPENAI_RESPONSES = ClientFormat(
    name="responses",
    path="/v1/responses",
    api=CHAT_COMPLETIONS,
    id_prefix="resp_",
    read=read_responses_request,
    stream=RESPONSE_STREAM,
    finish=_finish,
    error_body=error_body,
    schemas=BodySchemas(
        request_name="ResponsesRequest",
        required=("input", {"type": ["string", "array"], "minItems": 1}),
        answer_name="Response",
        answer=object_schema(
            id={"type": "string"},
            object={"const": "response"},
            created_at={"type": "integer"},
            model={"type": "string"},
            status={"enum": ["completed", "incomplete", "failed", "in_progress"]},
            output={"type": "array", "items": object_schema(id={"type": "string"}, type={"type": "string"})},
            usage=counts_schema("input_tokens", "output_tokens", "total_tokens"),
        ),
    ),
)
