"""Define OpenAI's embeddings as a client format."""

from functools import partial

from gateway.apis import EMBEDDINGS
from gateway.domain import Usage
from gateway.translate.client_formats.contract import BodySchemas, ClientFormat
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.client_formats.schema import SCHEMAS, counts_schema, object_schema
from gateway.translate.embeddings import finish_embeddings
from gateway.translate.request import ClientRequest, read_request
from gateway.wire.openai import Fields


def _finish(whole: Fields, request: ClientRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
    """Encode the list; unlike a completion it has neither an id nor a time."""
    del answer_id, created_s
    return finish_embeddings(whole, request, usage=usage)


OPENAI_EMBEDDINGS = ClientFormat(
    name="embeddings",
    path=EMBEDDINGS.path,
    api=EMBEDDINGS,
    id_prefix="embd",
    read=partial(read_request, EMBEDDINGS),
    stream=None,
    finish=_finish,
    error_body=error_body,
    schemas=BodySchemas(
        request_name="EmbeddingRequest",
        required=("input", {"type": ["string", "array"], "minItems": 1}),
        answer_name="EmbeddingList",
        answer=object_schema(
            object={"const": "list"},
            model={"type": "string"},
            data={"type": "array", "items": {"$ref": f"{SCHEMAS}Embedding"}},
            usage=counts_schema("prompt_tokens", "total_tokens"),
        ),
    ),
)
