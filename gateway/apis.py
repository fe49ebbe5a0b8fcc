"""List the APIs of OpenAI-compatible workers: one row each.

What clients send and receive is defined by the client formats (`translate.client_formats`), each on top of one API.
"""

from enum import StrEnum

import msgspec


class ModelKind(StrEnum):
    """Name the kind of a model."""

    CHAT = "chat"
    EMBEDDING = "embedding"

    @property
    def needs_openai_worker(self) -> bool:
        """Return True if only OpenAI-compatible workers serve it: the other ones only continue a text."""
        return self is not ModelKind.CHAT


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one API."""

    path: str
    """Path at an OpenAI-compatible worker."""
    kind: ModelKind
    """Kind of the models that serve it."""
    prompt_fields: tuple[str, ...]
    """Fields that may hold the prompt, OpenAI's own name first; one of them is required."""
    counted_fields: tuple[str, ...]
    """Fields whose size is the estimate of the prompt's tokens; chat templates write the declared tools into it too."""
    operation: str
    """Value of `gen_ai.operation.name` in traces (OpenTelemetry, Semantic Conventions for Generative AI)."""
    has_choices: bool
    """True if an answer has choices with generated text, and can be streamed."""
    is_chat: bool = False
    """True if choices hold messages, and deltas of messages in a stream; False if they hold plain text."""


CHAT_COMPLETIONS = Api(
    path="/v1/chat/completions",
    kind=ModelKind.CHAT,
    prompt_fields=("messages",),
    counted_fields=("messages", "tools", "functions"),
    operation="chat",
    has_choices=True,
    is_chat=True,
)
# vLLM alternatively takes embeddings of a prompt, and messages to be embedded (docs.vllm.ai: "Prompt Embedding Inputs",
# "Embeddings API").
COMPLETIONS = Api(
    path="/v1/completions",
    kind=ModelKind.CHAT,
    prompt_fields=("prompt", "prompt_embeds"),
    counted_fields=("prompt",),
    operation="text_completion",
    has_choices=True,
)
EMBEDDINGS = Api(
    path="/v1/embeddings",
    kind=ModelKind.EMBEDDING,
    prompt_fields=("input", "messages"),
    counted_fields=("input", "messages"),
    operation="embeddings",
    has_choices=False,
)
