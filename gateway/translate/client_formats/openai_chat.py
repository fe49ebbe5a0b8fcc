"""Define OpenAI's chat completions as a client format."""

from functools import partial

from gateway.apis import CHAT_COMPLETIONS
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.client_formats.openai_stream import OPENAI_STREAM
from gateway.translate.client_formats.schema import completion_schema, object_schema
from gateway.translate.completion import finish_completion
from gateway.translate.request import read_request

OPENAI_CHAT = ClientFormat(
    name="chat_completions",
    path=CHAT_COMPLETIONS.path,
    api=CHAT_COMPLETIONS,
    id_prefix="chatcmpl",
    read=partial(read_request, CHAT_COMPLETIONS),
    stream=OPENAI_STREAM,
    finish=finish_completion,
    error_body=error_body,
    schemas=BodySchemas(
        request_name="ChatCompletionRequest",
        required=("messages", {"type": "array", "minItems": 1}),
        answer_name="ChatCompletion",
        answer=completion_schema(
            "chat.completion",
            message=object_schema(role={"const": "assistant"}, content={"type": ["string", "null"]}),
        ),
    ),
)
