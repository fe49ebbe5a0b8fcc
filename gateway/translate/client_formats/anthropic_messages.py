"""Define Anthropic's messages as a client format on top of chat completions."""

from gateway.translate.apis import CHAT_COMPLETIONS
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat
from gateway.translate.client_formats.schema import counts_schema, object_schema
from gateway.translate.messages.errors import error_body, error_event
from gateway.translate.messages.message import finish_message
from gateway.translate.messages.request import read_messages_request
from gateway.translate.messages.stream import MessageWriter

ANTHROPIC_MESSAGES = ClientFormat(
    name="messages",
    path="/v1/messages",
    api=CHAT_COMPLETIONS,
    id_prefix="msg",
    read=read_messages_request,
    open_stream=MessageWriter,
    finish=finish_message,
    error_body=error_body,
    error_event=error_event,
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
