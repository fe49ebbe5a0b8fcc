"""Define OpenAI's text completions as a client format."""

from functools import partial

from gateway.apis import COMPLETIONS
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.client_formats.openai_stream import OPENAI_STREAM
from gateway.translate.client_formats.schema import completion_schema
from gateway.translate.completion import finish_completion
from gateway.translate.request import read_request

OPENAI_COMPLETIONS = ClientFormat(
    name="completions",
    path=COMPLETIONS.path,
    api=COMPLETIONS,
    id_prefix="cmpl",
    read=partial(read_request, COMPLETIONS),
    stream=OPENAI_STREAM,
    finish=finish_completion,
    error_body=error_body,
    schemas=BodySchemas(
        request_name="CompletionRequest",
        required=("prompt", {"type": ["string", "array"]}),
        answer_name="Completion",
        answer=completion_schema("text_completion", text={"type": "string"}),
    ),
)
