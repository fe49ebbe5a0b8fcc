"""Define Anthropic's messages as a client format on top of chat completions."""

from gateway.apis import CHAT_COMPLETIONS
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat, StreamFormat
from gateway.translate.client_formats.schema import counts_schema, object_schema
from gateway.translate.messages.errors import error_body, error_event
from gateway.translate.messages.message import finish_message
from gateway.translate.messages.request import read_messages_request
from gateway.translate.messages.stream import MessageWriter
from gateway.wire.sse import KEEP_ALIVE

ANTHROPIC_MESSAGES = ClientFormat(
    name="messages",
    path="/v1/messages",
    api=CHAT_COMPLETIONS,
    id_prefix="msg_",
    read=read_messages_request,
    stream=StreamFormat(media_type="text/event-stream", open=MessageWriter, comment=KEEP_ALIVE, error=error_event),
    finish=finish_message,
    error_body=error_body,
    schemas=BodySchemas(
        request_name="MessagesRequest",
        required=("messages", {"type": "array", "minItems": 1}),
        answer_name="Message",
        answer=object_schema(
            id={"type": "string"},
            type={"const": "message"},
            role={"const": "assistant"},
            model={"type": "string"},
            content={"type": "array", "items": object_schema(type={"enum": ["text", "thinking", "tool_use"]})},
            stop_reason={"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]},
            stop_sequence={"type": ["string", "null"]},
            usage=counts_schema("input_tokens", "output_tokens"),
        ),
    ),
)
