"""Define OpenAI's text completions as a client format."""

from functools import partial

from gateway.translate.apis import COMPLETIONS
from gateway.translate.chunks import ChunkWriter
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat
from gateway.translate.client_formats.openai_errors import error_body, error_event
from gateway.translate.client_formats.schema import completion_schema
from gateway.translate.completion import finish_completion
from gateway.translate.request import read_request

OPENAI_COMPLETIONS = ClientFormat(
    name="completions",
    path=COMPLETIONS.path,
    api=COMPLETIONS,
    id_prefix="cmpl-",
    read=partial(read_request, COMPLETIONS),
    open_stream=ChunkWriter,
    finish=finish_completion,
    error_body=error_body,
    error_event=error_event,
    schemas=BodySchemas(
        request_name="CompletionRequest",
        required=("prompt", {"type": ["string", "array"]}),
        answer_name="Completion",
        answer=completion_schema("text_completion", text={"type": "string"}),
    ),
)
